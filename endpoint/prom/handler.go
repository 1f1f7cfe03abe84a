package prom

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// maxScrapes bounds how many are answered at a time.
const maxScrapes = 4

// Handler returns a handler that serves, under /metrics, the metrics of a node, of its process and of
// the Go runtime.
func Handler(ep *endpoint.Endpoint, opts ...Option) http.Handler {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(o.others...)
	registry.MustRegister(
		NewCollector(ep, opts...),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	return mux
}
