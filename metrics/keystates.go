package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// keyStates is a collector that has the keys counted at each scrape: a token
// dies without anybody setting a gauge.
type keyStates struct {
	keys, troubled *prometheus.Desc

	mu    sync.Mutex
	count CountKeys
}

// CountKeys counts keys: it calls keys once for each kind and state, and troubled once
// for each kind and cause of a trouble that a living token hides.
type CountKeys func(keys, troubled func(kind, label string, n int))

func newKeyStates() *keyStates {
	return &keyStates{
		keys: prometheus.NewDesc(namespace+"_keys",
			"Components, own accounts, tickets and authorizers in use, by kind and state. Authorizers that nobody calls are not counted.",
			[]string{"kind", "state"}, nil),
		troubled: prometheus.NewDesc(namespace+"_keys_in_trouble",
			"Keys whose token still lives and whose last renewal failed, by kind and by the state that they will have when it dies.",
			[]string{"kind", "cause"}, nil),
	}
}

func (k *keyStates) set(count CountKeys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count = count
}

// Describe implements [prometheus.Collector].
func (k *keyStates) Describe(ch chan<- *prometheus.Desc) { ch <- k.keys; ch <- k.troubled }

// Collect implements [prometheus.Collector].
func (k *keyStates) Collect(ch chan<- prometheus.Metric) {
	k.mu.Lock()
	count := k.count
	k.mu.Unlock()
	if count == nil {
		return
	}
	emit := func(d *prometheus.Desc) func(kind, label string, n int) {
		return func(kind, label string, n int) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), kind, label)
		}
	}
	count(emit(k.keys), emit(k.troubled))
}
