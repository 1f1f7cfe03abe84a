package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zeekpeer/zeekpeer/store"
)

// A storeCollector reads the metrics of a master.
type storeCollector struct{ *store.Store }

// A storeMetric is one of them.
type storeMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(s *store.Status) float64
}

var storeMetrics = func() (all []storeMetric) {
	add := func(kind prometheus.ValueType, name, help string, read func(s *store.Status) float64) {
		all = append(all, storeMetric{prometheus.NewDesc("zeekpeer_store_"+name, help, []string{"store"}, nil), kind, read})
	}
	add(prometheus.GaugeValue, "entries", "Entries of a store.", func(s *store.Status) float64 { return float64(s.Entries) })
	add(prometheus.GaugeValue, "bytes", "Bytes of its keys and values.", func(s *store.Status) float64 { return float64(s.Bytes) })
	add(prometheus.CounterValue, "events_total", "Number of the newest event; a restarted master goes on from its mark.", func(s *store.Status) float64 { return float64(s.Seq) })
	add(prometheus.GaugeValue, "clones", "Clones that are attached.", func(s *store.Status) float64 { return float64(len(s.Clones)) })
	add(prometheus.GaugeValue, "lag_events", "Events that the slowest clone has not acknowledged.", func(s *store.Status) float64 { return float64(s.Lag) })
	add(prometheus.GaugeValue, "writers", "Clones that have written.", func(s *store.Status) float64 { return float64(s.Writers) })
	add(prometheus.CounterValue, "attached_total", "How often clones have attached.", func(s *store.Status) float64 { return float64(s.Attaches) })
	add(prometheus.CounterValue, "rejected_total", "Commands that were not acted upon.", func(s *store.Status) float64 { return float64(s.Rejected) })
	add(prometheus.GaugeValue, "failing", "Whether the backend fails now.", func(s *store.Status) float64 {
		if s.Err != nil {
			return 1
		}
		return 0
	})
	return all
}()

// Describe implements [prometheus.Collector].
func (c storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range storeMetrics {
		ch <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.Status()
	for _, m := range storeMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(&s), s.Name)
	}
}
