package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ticketAges is a collector that asks for the ages at each scrape, so that an
// age grows between pushes without anybody setting it.
type ticketAges struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	ages map[string]func() (time.Duration, bool)
}

func newTicketAges() *ticketAges {
	return &ticketAges{
		desc: prometheus.NewDesc(namespace+"_ticket_age_seconds",
			"Age of the newest component_verify_ticket; WeChat pushes one every ten minutes. Absent while there is none.",
			[]string{"component"}, nil),
		ages: map[string]func() (time.Duration, bool){},
	}
}

func (t *ticketAges) set(component string, age func() (time.Duration, bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age == nil {
		delete(t.ages, component)
		return
	}
	t.ages[component] = age
}

// Describe implements [prometheus.Collector].
func (t *ticketAges) Describe(ch chan<- *prometheus.Desc) { ch <- t.desc }

// Collect implements [prometheus.Collector].
func (t *ticketAges) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for component, age := range t.ages {
		if d, ok := age(); ok {
			ch <- prometheus.MustNewConstMetric(t.desc, prometheus.GaugeValue, d.Seconds(), component)
		}
	}
}
