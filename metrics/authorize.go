package metrics

import "github.com/prometheus/client_golang/prometheus"

type authorizeMetrics struct{ pages *prometheus.CounterVec }

// The pages on which merchants authorise, and what comes of a visit.
var (
	authorizePages   = []string{"authorize", "authorized"}
	authorizeResults = []string{
		"ok", "bad_request", "code_invalid", "embedded", "foreign_visit", "no_code", "not_ready", "too_many_visits", "unknown_component",
		"visit_expired", "visit_used", "wechat_refused",
	}
)

func newAuthorizeMetrics(r *prometheus.Registry) authorizeMetrics {
	m := authorizeMetrics{pages: newCounter(r, "authorization_pages_total",
		"Pages on which merchants authorise, by page and what came of it.", "page", "result")}
	for _, page := range authorizePages {
		for _, result := range authorizeResults {
			m.pages.WithLabelValues(page, result)
		}
	}
	return m
}

// AuthorizationPage counts one page that a merchant has opened. page is authorize or
// authorized; result is ok, or the name of the failure that the page tells.
func (m *Metrics) AuthorizationPage(page, result string) {
	if m == nil {
		return
	}
	m.authorize.pages.WithLabelValues(page, result).Inc()
}
