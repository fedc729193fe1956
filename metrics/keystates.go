package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// keyStates is a collector that has the keys counted at each scrape: a token
// dies without anybody setting a gauge.
type keyStates struct {
	desc  *prometheus.Desc
	mu    sync.Mutex
	count func(emit func(kind, state string, n int))
}

func newKeyStates() *keyStates {
	return &keyStates{desc: prometheus.NewDesc(namespace+"_keys",
		"Components, own accounts, tickets and authorizers in use, by kind and state. Authorizers that nobody calls are not counted.",
		[]string{"kind", "state"}, nil)}
}

func (k *keyStates) set(count func(emit func(kind, state string, n int))) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count = count
}

// Describe implements [prometheus.Collector].
func (k *keyStates) Describe(ch chan<- *prometheus.Desc) { ch <- k.desc }

// Collect implements [prometheus.Collector].
func (k *keyStates) Collect(ch chan<- prometheus.Metric) {
	k.mu.Lock()
	count := k.count
	k.mu.Unlock()
	if count == nil {
		return
	}
	count(func(kind, state string, n int) {
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, float64(n), kind, state)
	})
}
