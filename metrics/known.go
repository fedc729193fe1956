package metrics

// The label values that are known beforehand. Their series exist from the start,
// so that rate() sees the first event and an alert can tell 0 from "not scraped".
var (
	knownKinds    = []string{"component", "authorizer", "account", "ticket"}
	knownRenewals = []string{
		"renewed", "unchanged", "adopted", "late", "unsaved", "no_ticket", "no_answer",
		"refused", "invalid", "blocked", "over_budget", "error",
	}
	knownReplays   = []string{"cured", "still_stale", "body_too_large", "refused"}
	knownListings  = []string{"ok", "error"}
	knownStoreOps  = map[string][]string{"get": {"ok", "error"}, "put": {"ok", "conflict", "error"}, "list": {"ok", "error"}}
	alertedErrcode = []string{"-1", "40001", "40014", "42001", "45009", "45011", "61003", "61004", "61023", "other"}
)

// touchKnown makes the series of all known label values.
func (m *Metrics) touchKnown() {
	for _, kind := range knownKinds {
		m.broker.displaced.WithLabelValues(kind)
		for _, result := range knownRenewals {
			m.broker.renewals.WithLabelValues(kind, result)
		}
	}
	for op, results := range knownStoreOps {
		for _, result := range results {
			m.broker.store.WithLabelValues(op, result)
		}
	}
	for _, result := range knownListings {
		m.broker.listed.WithLabelValues(result)
	}
	for _, result := range knownReplays {
		m.app.replays.WithLabelValues(result)
	}
	for _, errcode := range alertedErrcode {
		m.app.errcodes.WithLabelValues(errcode)
	}
	// Families come from the catalogue; this one is there whatever it holds.
	m.app.requests.WithLabelValues("other", "ok")
}
