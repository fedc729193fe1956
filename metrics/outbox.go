package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outboxMetrics are about the events that apps are to get. It is a collector for what is
// counted at each scrape, as an event grows older without anybody setting a gauge.
type outboxMetrics struct {
	events, deliveries    *prometheus.CounterVec
	deliverer             prometheus.Gauge
	waiting, dead, oldest *prometheus.Desc

	mu    sync.Mutex
	stats OutboxStats
}

// OutboxStats returns how many events wait, how many are dead letters, and how old the oldest
// that waits is.
type OutboxStats func() (waiting, dead int, oldest time.Duration)

func newOutboxMetrics(r *prometheus.Registry) *outboxMetrics {
	m := &outboxMetrics{
		events: newCounter(r, "outbox_events_total",
			"Authorization events: taken in for delivery, refused at the bound, given up, or dropped to make room.", "result"),
		deliveries: newCounter(r, "outbox_deliveries_total", "Attempts to deliver an authorization event to an app.", "result"),
		deliverer: newGauge("outbox_deliverer",
			"1 while this sidecar delivers authorization events, 0 while another one that shares its store does."),
		waiting: prometheus.NewDesc(namespace+"_outbox_waiting", "Authorization events that an app has not got yet.", nil, nil),
		dead:    prometheus.NewDesc(namespace+"_outbox_dead_letters", "Authorization events that could not be delivered and are kept.", nil, nil),
		oldest: prometheus.NewDesc(namespace+"_outbox_oldest_seconds",
			"Age of the oldest authorization event that an app has not got yet, 0 for none.", nil, nil),
	}
	for _, result := range []string{"added", "full", "dead", "dropped"} {
		m.events.WithLabelValues(result)
	}
	for _, result := range []string{"delivered", "failed"} {
		m.deliveries.WithLabelValues(result)
	}
	r.MustRegister(m, m.deliverer)
	return m
}

// Describe implements [prometheus.Collector].
func (m *outboxMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.waiting
	ch <- m.dead
	ch <- m.oldest
}

// Collect implements [prometheus.Collector].
func (m *outboxMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	stats := m.stats
	m.mu.Unlock()
	if stats == nil {
		return
	}
	waiting, dead, oldest := stats()
	ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(m.dead, prometheus.GaugeValue, float64(dead))
	ch <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, oldest.Seconds())
}

func (m *outboxMetrics) setStats(stats OutboxStats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats = stats
}

// OutboxEvent counts what became of an event: added, full, dead or dropped.
func (m *Metrics) OutboxEvent(result string) {
	if m != nil {
		m.outbox.events.WithLabelValues(result).Inc()
	}
}

// OutboxDelivery counts an attempt: delivered or failed.
func (m *Metrics) OutboxDelivery(result string) {
	if m != nil {
		m.outbox.deliveries.WithLabelValues(result).Inc()
	}
}

// OutboxDeliverer says whether this sidecar delivers events.
func (m *Metrics) OutboxDeliverer(delivers bool) {
	if m != nil {
		setBool(m.outbox.deliverer, delivers)
	}
}

// OutboxStats has stats called at each scrape.
func (m *Metrics) OutboxStats(stats OutboxStats) {
	if m != nil {
		m.outbox.setStats(stats)
	}
}
