package main

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/certs"
	"github.com/zeekpeer/zeekpeer/endpoint/rules"
)

// securityFlags say how connections are protected and who may do what.
type securityFlags struct {
	mode   string
	certs  certFlags
	access string
}

func (f *securityFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.mode, "tls", "anonymous", "protect connections as the peers do: `MODE` anonymous is Zeek's default (encrypted, nobody authenticated), cert both sides with certificates, off plain TCP")
	f.certs.add(flags)
	flags.StringVar(&f.access, "access", "", "let peers do only what the rules in `FILE` allow; see \"zeekpeer access --help\"")
}

// A security is what the flags have been made into. Its files are read again at SIGHUP.
type security struct {
	mode  endpoint.Security
	certs *certs.Store // nil without --tls cert
	rules *rules.Rules // nil without --access
}

func (f *securityFlags) load() (s security, err error) {
	if f.mode != "cert" && f.certs.set() {
		return s, usageError("--tls %s: certificates go with --tls cert", f.mode)
	}
	switch f.mode {
	case "off":
		s.mode = endpoint.PlainTCP()
	case "anonymous":
		s.mode = endpoint.AnonymousTLS()
	case "cert":
		if s.certs, err = f.certs.load(); err != nil {
			return s, err
		}
		s.mode = endpoint.CertificateTLS(s.certs)
	default:
		return s, usageError("--tls %s: want anonymous, cert or off", f.mode)
	}
	if f.access != "" {
		s.rules, err = rules.Load(f.access)
	}
	return s, err
}

// describe says how connections are protected.
func (s *security) describe() string {
	switch s.mode.String() {
	case "off":
		return "plain TCP: nothing is encrypted, nobody authenticated"
	case "anonymous":
		return "anonymous TLS: encrypted, nobody authenticated"
	}
	return "TLS with certificates"
}

// options returns the options of a node that is so protected.
func (s *security) options() []endpoint.Option {
	opts := []endpoint.Option{endpoint.WithSecurity(s.mode)}
	if s.rules != nil {
		opts = append(opts, endpoint.WithAccess(s.rules.Access))
	}
	return opts
}

// clientAccess returns what a WebSocket client may do.
func (s *security) clientAccess(r *http.Request) endpoint.Access {
	client := endpoint.Identity{Addr: r.RemoteAddr, WebSocket: true}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		client.Names = certs.PeerNames(*r.TLS)
	}
	return s.rules.Access(client)
}

// warn tells what should be seen to soon.
func (s *security) warn(log *slog.Logger) {
	if s.certs == nil {
		return
	}
	for _, warning := range s.certs.Warnings() {
		log.Warn(warning)
	}
}

// reload reads the files again. What cannot be read stays as it was.
func (s *security) reload() error {
	var errs []error
	if s.certs != nil {
		errs = append(errs, s.certs.Reload())
	}
	if s.rules != nil {
		errs = append(errs, s.rules.Reload())
	}
	return errors.Join(errs...)
}

// reloadOnHangup reads the files of s again at each SIGHUP, until stop is called. Without files a
// hang-up ends the program, as it does others.
func reloadOnHangup(e *endpoint.Endpoint, s *security, log *slog.Logger) (stop func()) {
	if s.certs == nil && s.rules == nil {
		return func() {}
	}
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range hangups {
			if err := s.reload(); err != nil {
				log.Error("not reloaded; what was there before stays in force", "err", err)
			} else {
				log.Info("reloaded")
			}
			s.warn(log)
			e.ReloadAccess()
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	})
}
