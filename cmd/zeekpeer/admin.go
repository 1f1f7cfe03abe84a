package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/admin"
	"github.com/zeekpeer/zeekpeer/endpoint/prom"
)

// observeFlags say how a node lets itself be looked at.
type observeFlags struct {
	admin   string
	metrics string
}

func (f *observeFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.admin, "admin", "", "make a socket at `PATH` that \"zeekpeer top\" and \"zeekpeer tap\" read")
	flags.StringVar(&f.metrics, "metrics", "", "serve metrics for Prometheus at http://`ADDR`/metrics")
}

// observers are what lets a node be looked at.
type observers struct {
	pages       []admin.Page // of the admin socket, besides its own
	admin       *admin.Server
	metrics     *http.Server
	metricsDone chan struct{}
	collectors  []prometheus.Collector // of metrics besides those of the node
}

// observe lets a node be looked at as the flags say, until its end.
func (o *observers) observe(e *endpoint.Endpoint, f observeFlags, stderr io.Writer) error {
	if f.admin != "" {
		var err error
		if o.admin, err = admin.Serve(e, f.admin, o.pages...); err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
	}
	if f.metrics != "" {
		l, err := net.Listen("tcp", f.metrics)
		if err != nil {
			return fmt.Errorf("--metrics %s: %w", f.metrics, reason(err))
		}
		o.metrics = &http.Server{
			Handler:           prom.Handler(e, prom.WithCollectors(o.collectors...)),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
		}
		o.metricsDone = make(chan struct{})
		go func() {
			defer close(o.metricsDone)
			o.metrics.Serve(l) // until unobserve
		}()
		fmt.Fprintf(stderr, "metrics at http://%v/metrics\n", l.Addr())
	}
	return nil
}

// unobserve ends what observe began, after the node has ended.
func (o *observers) unobserve() {
	if o.admin != nil {
		o.admin.Close()
	}
	if o.metrics != nil {
		o.metrics.Close()
		<-o.metricsDone
	}
}
