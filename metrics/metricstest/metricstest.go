// Package metricstest holds what the tests of those who count have in common.
//
// The package makes no API promise outside this module.
package metricstest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// WantNoneBorn reports every counter of m that new metrics do not have. One that is
// born at its first event hides that event from increase(). The counters of a family
// of paths, which are made together when it is first called, of its errcodes, and of the
// configuration's callers are left out. A nil m is fine.
func WantNoneBorn(tb testing.TB, m *metrics.Metrics) {
	tb.Helper()
	if m == nil {
		return
	}
	known := series(metrics.New("test"))
	for _, s := range series(m) {
		if !slices.Contains(known, s) {
			tb.Errorf("the series %s began at its first event, so that increase() does not see it: metrics/known.go should have it", s)
		}
	}
}

// series returns our counters as a scrape names them.
func series(m *metrics.Metrics) []string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var all []string
	counter := false
	for line := range strings.Lines(w.Body.String()) {
		if kind, ok := strings.CutPrefix(line, "# TYPE wxsidecar_"); ok {
			counter = strings.HasSuffix(kind, " counter\n")
		}
		late := strings.Contains(line, `family="/`) || strings.HasPrefix(line, "wxsidecar_family_errcodes_total{") ||
			strings.HasPrefix(line, "wxsidecar_caller_requests_total{")
		if at := strings.LastIndexByte(line, ' '); counter && !late && strings.HasPrefix(line, "wxsidecar_") {
			all = append(all, line[:at])
		}
	}
	return all
}
