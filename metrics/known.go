package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// The label values that are known beforehand. Their series exist from the start,
// so that rate() sees the first event and an alert can tell 0 from "not scraped".
var (
	knownKinds    = []string{"component", "authorizer", "account", "ticket"}
	knownRenewals = []string{
		"renewed", "unchanged", "adopted", "late", "unsaved", "no_ticket", "no_answer",
		"refused", "invalid", "blocked", "over_budget", "error",
		"held", "contested", "fenced", "store_away",
	}
	knownReplays  = []string{"cured", "still_stale", "body_too_large", "refused"}
	knownListings = []string{"ok", "error"}
	knownStoreOps = map[string][]string{"get": {"ok", "error"}, "put": {"ok", "conflict", "error"}, "list": {"ok", "error"}}
	knownDials    = []string{"ok", "error"}
	knownFailures = []string{"upstream_timeout", "upstream_unreachable", "answer_broken", "cut", "body_incomplete"}
	knownResults  = []string{"ok", "errcode", "refused", "failed", "cut", "client_gone"}
	knownQuota    = []string{"45009", "45011"}
	// knownCodes are the values of X-Wxsidecar-Error.
	knownCodes = []string{
		"no_account", "ambiguous_component", "unknown_account", "bad_request", "no_secret", "body_incomplete", "request_timeout", "body_too_large",
		"head_too_large", "too_many_requests", "caller_refused", "bad_handle", "forbidden_host", "browser_refused",
		"connect_refused", "connect_failed",
		"unknown", "waiting_ticket", "renewing", "retrying", "quota_exhausted", "misconfigured", "unauthorized", "needs_authorization",
		"upstream_timeout", "upstream_unreachable", "client_gone", "answer_broken", "answer_encoded", "answer_unreadable", "answer_too_large",
		"store_unavailable", "internal",
	}
	// knownErrcodes are those that a broker must know; all others are counted together.
	knownErrcodes = []int{
		-1, 40001, 40003, 40007, 40013, 40014, 40029, 40030, 40037, 40097, 40125, 40163, 40164,
		40201, 40202, 40203, 40234, 41001, 41002, 41004, 41008, 41018, 41030, 42001, 42002, 42003, 42007,
		43001, 43002, 43003, 43004, 44002, 45009, 45011, 45015, 45035, 45047, 47001, 47003,
		48001, 48002, 48004, 48006, 50002, 61003, 61004, 61005, 61006, 61007, 61008, 61009, 61010,
		61011, 61014, 61015, 61016, 61017, 61023, 61024, 61028, 85009, 85013, 85052, 86000,
		87014, 89501, 89503, 89506, 89507, 9402202,
	}
)

// other is the label of what has no series of its own.
const other = "other"

// touchKnown makes the series of all known label values.
func (m *Metrics) touchKnown() {
	for _, kind := range knownKinds {
		for _, result := range knownRenewals {
			m.broker.renewals.WithLabelValues(kind, result)
		}
	}
	touch(m.broker.displaced, knownKinds)
	for op, results := range knownStoreOps {
		for _, result := range results {
			m.broker.store.WithLabelValues(op, result)
		}
	}
	touch(m.broker.listed, knownListings)
	m.app.touchKnown()
}

// touchKnown leaves out the families of paths, of which there are hundreds and an app
// uses few: theirs are made at their first call. This one is there whatever the
// catalogue holds.
func (m *appMetrics) touchKnown() {
	touch(m.replays, knownReplays)
	touch(m.dials, knownDials)
	touch(m.failures, knownFailures)
	touch(m.appErrors, knownCodes)
	for _, result := range knownResults {
		m.requests.WithLabelValues(other, result)
	}
	for _, errcode := range knownQuota {
		m.quota.WithLabelValues(other, errcode)
	}
	m.byErrcode = map[int]prometheus.Counter{}
	for _, errcode := range knownErrcodes {
		m.byErrcode[errcode] = m.errcodes.WithLabelValues(strconv.Itoa(errcode))
	}
	m.otherErrcode = m.errcodes.WithLabelValues(other)
}

func touch(c *prometheus.CounterVec, values []string) {
	for _, v := range values {
		c.WithLabelValues(v)
	}
}
