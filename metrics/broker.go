package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type brokerMetrics struct {
	renewals  *prometheus.CounterVec
	keys      *keyStates
	displaced *prometheus.CounterVec
	ticketAge *ticketAges
	cache     *prometheus.CounterVec
	store     *prometheus.CounterVec
	skew      prometheus.Gauge
	unsaved   prometheus.Gauge
	paused    prometheus.Gauge
	listed    *prometheus.CounterVec
	skipped   prometheus.Counter
	hit, miss prometheus.Counter
}

func newBrokerMetrics(r *prometheus.Registry) brokerMetrics {
	m := brokerMetrics{
		renewals: newCounter(r, "renewals_total",
			"Renewals of tokens and tickets by kind and result: renewed, unchanged, adopted, unsaved; late, blocked, no_ticket, over_budget; no_answer, refused, invalid, error; held, contested, fenced, store_away.", "kind", "result"),
		keys: newKeyStates(),
		displaced: newCounter(r, "displaced_total",
			"Forced renewals that were refused because they came too close: someone outside this sidecar renews the same token.", "kind"),
		cache: newCounter(r, "cache_requests_total",
			"Look-ups in the token cache by result (hit, miss).", "result"),
		store: newCounter(r, "store_operations_total",
			"Operations on the durable store by operation (get, put, list) and result (ok, conflict, error).", "op", "result"),
		skew: newGauge("clock_skew_seconds",
			"WeChat's clock minus the machine's, measured against the Date of WeChat's answers."),
		unsaved: newGauge("unsaved_tokens",
			"Tokens that are served from memory because the store did not take them; saving is tried again."),
		paused: newGauge("renewals_paused",
			"1 while WeChat answers nothing: renewals wait and a probe looks for its return."),
		listed: newCounter(r, "reconciliations_total",
			"Comparisons with WeChat's list of authorizers by result (ok, error).", "result"),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "list_items_skipped_total",
			Help: "Items of WeChat's list of authorizers that were skipped since their appid cannot be read.",
		}),
		ticketAge: newTicketAges(),
	}
	r.MustRegister(m.skipped, m.skew, m.unsaved, m.paused, m.keys, m.ticketAge)
	m.hit, m.miss = m.cache.WithLabelValues("hit"), m.cache.WithLabelValues("miss")
	return m
}

// Renewal counts one renewal of a token of kind.
func (m *Metrics) Renewal(kind, result string) {
	if m != nil {
		m.broker.renewals.WithLabelValues(kind, result).Inc()
	}
}

// KeyStates has count called at each scrape for what is told of the keys in use. nil takes
// those metrics away.
func (m *Metrics) KeyStates(count CountKeys) {
	if m != nil {
		m.broker.keys.set(count)
	}
}

// Displaced counts a forced renewal that was refused.
func (m *Metrics) Displaced(kind string) {
	if m != nil {
		m.broker.displaced.WithLabelValues(kind).Inc()
	}
}

// CacheRequest counts a look-up in the token cache.
func (m *Metrics) CacheRequest(hit bool) {
	switch {
	case m == nil:
	case hit:
		m.broker.hit.Inc()
	default:
		m.broker.miss.Inc()
	}
}

// StoreOperation counts one operation on the store.
func (m *Metrics) StoreOperation(op, result string) {
	if m != nil {
		m.broker.store.WithLabelValues(op, result).Inc()
	}
}

// ClockSkew shows WeChat's clock minus the machine's.
func (m *Metrics) ClockSkew(d time.Duration) {
	if m != nil {
		m.broker.skew.Set(d.Seconds())
	}
}

// Unsaved shows how many tokens the store has not taken yet.
func (m *Metrics) Unsaved(n int) {
	if m != nil {
		m.broker.unsaved.Set(float64(n))
	}
}

// Paused shows whether renewals wait for WeChat to answer at all.
func (m *Metrics) Paused(paused bool) {
	if m != nil {
		setBool(m.broker.paused, paused)
	}
}

// Reconciliation counts one comparison with WeChat's list of authorizers.
func (m *Metrics) Reconciliation(result string) {
	if m != nil {
		m.broker.listed.WithLabelValues(result).Inc()
	}
}

// ListItemsSkipped counts items of WeChat's list of authorizers that cannot be read.
func (m *Metrics) ListItemsSkipped(n int) {
	if m != nil {
		m.broker.skipped.Add(float64(n))
	}
}

// TicketAge makes wxsidecar_ticket_age_seconds show what age returns for a
// component at each scrape; age returns false while there is no ticket, and then
// the series is absent. nil takes the series away.
func (m *Metrics) TicketAge(component string, age func() (time.Duration, bool)) {
	if m != nil {
		m.broker.ticketAge.set(component, age)
	}
}
