package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloadMetrics have Prometheus' own names for the same thing.
type reloadMetrics struct{ good, at prometheus.Gauge }

func newReloadMetrics(r *prometheus.Registry) reloadMetrics {
	m := reloadMetrics{
		good: newGauge("config_last_reload_successful",
			"1 if the configuration was taken over when it was last read, 0 if the former one stays in force."),
		at: newGauge("config_last_reload_success_timestamp_seconds",
			"When a configuration was last taken over, in seconds since 1970; the start counts."),
	}
	r.MustRegister(m.good, m.at)
	return m
}

// ConfigRead shows that the configuration was read at a time, and whether it was taken over.
func (m *Metrics) ConfigRead(ok bool, at time.Time) {
	if m == nil {
		return
	}
	setBool(m.reload.good, ok)
	if ok {
		m.reload.at.Set(float64(at.UnixMilli()) / 1000)
	}
}
