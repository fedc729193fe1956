package metrics

import "github.com/prometheus/client_golang/prometheus"

// sharedMetrics are about a store that several sidecars share.
type sharedMetrics struct {
	up       prometheus.Gauge
	leases   *prometheus.CounterVec
	repaired prometheus.Counter
	outside  *prometheus.CounterVec
}

func newSharedMetrics(r *prometheus.Registry) sharedMetrics {
	m := sharedMetrics{
		up: newGauge("store_up",
			"1 while the store answers; 0 while a shared one does not: living tokens are served and renewals wait."),
		leases: newCounter(r, "leases_total",
			"Attempts to take the lease of a token or a task in a shared store by result: taken, held (by another sidecar), stale (another was faster), error.", "result"),
		repaired: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "records_repaired_total",
			Help: "Records that the store had lost and this sidecar put back.",
		}),
		outside: newCounter(r, "outside_renewals_total",
			"Tokens that WeChat rejected before their end although no sidecar on this store had renewed them: something else renews them too, most likely a second sidecar with a store of its own.", "kind"),
	}
	m.up.Set(1)
	for _, result := range []string{"taken", "held", "stale", "error"} {
		m.leases.WithLabelValues(result)
	}
	for _, kind := range knownKinds {
		m.outside.WithLabelValues(kind)
	}
	r.MustRegister(m.up, m.repaired)
	return m
}

// StoreUp shows whether the store answers.
func (m *Metrics) StoreUp(up bool) {
	if m != nil {
		setBool(m.shared.up, up)
	}
}

// Lease counts an attempt to take a lease.
func (m *Metrics) Lease(result string) {
	if m != nil {
		m.shared.leases.WithLabelValues(result).Inc()
	}
}

// Repaired counts a record that was put back into the store.
func (m *Metrics) Repaired() {
	if m != nil {
		m.shared.repaired.Inc()
	}
}

// OutsideRenewal counts a token of kind that was rejected although nobody on this store had
// renewed it.
func (m *Metrics) OutsideRenewal(kind string) {
	if m != nil {
		m.shared.outside.WithLabelValues(kind).Inc()
	}
}
