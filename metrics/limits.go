package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// limits is a collector that asks at each scrape how full each limit is.
type limits struct {
	used *prometheus.Desc
	mu   sync.Mutex
	ask  map[string]func() float64
}

func newLimits() *limits {
	return &limits{
		used: prometheus.NewDesc(namespace+"_limit_used_ratio",
			"How full a limit is, from 0 to 1. What comes beyond 1 is refused.", []string{"limit"}, nil),
		ask: map[string]func() float64{},
	}
}

func (l *limits) set(name string, used func() float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ask[name] = used
}

// Describe implements [prometheus.Collector].
func (l *limits) Describe(ch chan<- *prometheus.Desc) { ch <- l.used }

// Collect implements [prometheus.Collector].
func (l *limits) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, used := range l.ask {
		ch <- prometheus.MustNewConstMetric(l.used, prometheus.GaugeValue, used(), name)
	}
}

// Limit makes wxsidecar_limit_used_ratio show what used returns for a limit at each scrape,
// a number from 0 to 1. name is one of a bounded set. used must not wait.
func (m *Metrics) Limit(name string, used func() float64) {
	if m != nil {
		m.limits.set(name, used)
	}
}

// inflight is a collector of how many calls are under way.
type inflight struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	ask  func() int64
}

func newInflight() *inflight {
	return &inflight{desc: prometheus.NewDesc(namespace+"_inflight_requests", "Calls of apps that are under way.", nil, nil)}
}

func (i *inflight) set(n func() int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ask = n
}

// Describe implements [prometheus.Collector].
func (i *inflight) Describe(ch chan<- *prometheus.Desc) { ch <- i.desc }

// Collect implements [prometheus.Collector].
func (i *inflight) Collect(ch chan<- prometheus.Metric) {
	i.mu.Lock()
	ask := i.ask
	i.mu.Unlock()
	n := int64(0)
	if ask != nil {
		n = ask()
	}
	ch <- prometheus.MustNewConstMetric(i.desc, prometheus.GaugeValue, float64(n))
}

// Inflight makes wxsidecar_inflight_requests show what n returns at each scrape.
func (m *Metrics) Inflight(n func() int64) {
	if m != nil {
		m.inflight.set(n)
	}
}
