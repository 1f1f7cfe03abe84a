package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// Bounds of the HTTP requests that clients begin with.
const (
	requestTimeout  = 10 * time.Second
	maxRequestBytes = 16 << 10
	maxRequests     = 256 // that are not clients yet
)

// A Server is an HTTP server that serves the API at [Path] and nothing else.
type Server struct {
	handler *Handler
	http    *http.Server
	addr    net.Addr
	done    chan struct{}
}

// Listen serves clients of ep at addr, such as "127.0.0.1:27759" or "127.0.0.1:0", in the background.
// An address other than loopback is refused unless clients have to present a token ([WithToken]) or a
// certificate ([WithTLS] with ClientAuth), or [AllowRemote] is given.
func Listen(ctx context.Context, ep *endpoint.Endpoint, addr string, opts ...ServerOption) (*Server, error) {
	h, err := NewHandler(ep, opts...)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	o := &h.opts
	ip, isTCP := l.Addr().(*net.TCPAddr)
	local := isTCP && ip.IP.IsLoopback()
	proven := o.token != "" || o.tls != nil && o.tls.ClientAuth == tls.RequireAndVerifyClientCert
	if !local && !proven && !o.allowRemote {
		l.Close()
		return nil, fmt.Errorf("listen %s: anybody who reaches this address could read and publish everything; serve loopback, set a token, demand client certificates, or allow it", l.Addr())
	}
	if !local && o.tls == nil {
		o.log.Warn("websocket clients are served without encryption", "addr", l.Addr())
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, h)
	var requests atomic.Int64
	s := &Server{handler: h, addr: l.Addr(), done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       requestTimeout,
		MaxHeaderBytes:    maxRequestBytes,
		ErrorLog:          slog.NewLogLogger(o.log.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if requests.Add(1) > maxRequests {
					c.Close()
				}
			case http.StateClosed, http.StateHijacked:
				requests.Add(-1)
			}
		},
	}
	if o.tls != nil {
		c := o.tls.Clone()
		c.NextProtos = []string{"http/1.1"} // WebSocket is not spoken over HTTP/2 here
		l = tls.NewListener(l, c)
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.log.Error("serving websocket clients ended", "addr", s.addr, "err", err)
		}
	}()
	return s, nil
}

// Addr returns the address that is served, with the port.
func (s *Server) Addr() net.Addr { return s.addr }

// Clients returns what the server knows of its clients, those first that came first.
func (s *Server) Clients() []ClientInfo { return s.handler.Clients() }

// Stats returns what the server has seen so far.
func (s *Server) Stats() ServerStats { return s.handler.Stats() }

// Shutdown stops listening and takes leave of the clients, as [Handler.Shutdown] does.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.handler.Shutdown(ctx)
	if httpErr := s.http.Shutdown(ctx); httpErr != nil {
		s.http.Close()
		err = errors.Join(err, httpErr)
	}
	<-s.done
	return err
}
