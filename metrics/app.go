package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type appMetrics struct {
	requests     *prometheus.CounterVec
	duration     Histogram
	overhead     Histogram
	replays      *prometheus.CounterVec
	errcodes     *prometheus.CounterVec
	byErrcode    map[int]prometheus.Counter // of the known ones
	otherErrcode prometheus.Counter
	uninspect    prometheus.Counter
	appErrors    *prometheus.CounterVec
	quota        *prometheus.CounterVec
	dials        *prometheus.CounterVec
	failures     *prometheus.CounterVec
	stale        prometheus.Counter
	out          prometheus.Counter
	redirects    prometheus.Counter
}

func newAppMetrics(r *prometheus.Registry) appMetrics {
	m := appMetrics{
		requests: newCounter(r, "app_requests_total",
			"Calls of apps by family of the path and result.", "family", "result"),
		duration: newHistograms(r, "app_request_duration_seconds",
			"Time from the head of a call to the end of its answer.", "",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30).with(""),
		overhead: newHistograms(r, "overhead_seconds",
			"The part of a call's time that was ours: all but the waiting for WeChat and for the app.", "",
			.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, 1, 5).with(""),
		replays: newCounter(r, "replays_total",
			"Calls answered with a stale token, by what became of them (cured, still_stale, body_too_large, refused).", "result"),
		errcodes: newCounter(r, "upstream_errcode_total",
			"WeChat's errcodes in answers to apps; other for those not on the known list.", "errcode"),
		uninspect: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "uninspected_answers_total",
			Help: "Answers that WeChat encoded although identity was asked for, and that passed without being looked at.",
		}),
	}
	m.addUpstream(r)
	r.MustRegister(m.uninspect, m.stale, m.out, m.redirects)
	return m
}

func (m *appMetrics) addUpstream(r *prometheus.Registry) {
	m.appErrors = newCounter(r, "app_errors_total",
		"Answers of our own to apps, by the value of X-Wxsidecar-Error.", "code")
	m.quota = newCounter(r, "quota_errcodes_total",
		"Answers of WeChat's that an account or the platform calls too often (45009, 45011), by family of the path.", "family", "errcode")
	m.dials = newCounter(r, "upstream_dials_total",
		"New connections to WeChat by result (ok, error).", "result")
	m.failures = newCounter(r, "upstream_failures_total",
		"Calls without a whole answer from WeChat, by what was wrong.", "reason")
	m.stale = newPlainCounter("upstream_stale_connections_total",
		"Kept connections that WeChat had closed when the next call came; the call went on a fresh one.")
	m.out = newPlainCounter("upstream_host_out_total",
		"Times that a host of WeChat's was taken out after three failures in a row.")
	m.redirects = newPlainCounter("upstream_redirects_total",
		"Redirects that WeChat answered with; they are passed on and never followed.")
}

func newPlainCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

// Counter is one counter, resolved once and kept by its user, so that counting
// costs no look-up. The zero Counter counts nothing.
type Counter struct{ c prometheus.Counter }

// Inc adds one.
func (c Counter) Inc() {
	if c.c != nil {
		c.c.Inc()
	}
}

// AppRequests returns the counter of one family and result.
func (m *Metrics) AppRequests(family, result string) Counter {
	if m == nil {
		return Counter{}
	}
	return Counter{m.app.requests.WithLabelValues(family, result)}
}

// AppRequestTime observes how long a call took in all, and how much of it was ours.
func (m *Metrics) AppRequestTime(total, overhead time.Duration) {
	if m != nil {
		m.app.duration.Observe(total)
		m.app.overhead.Observe(overhead)
	}
}

// Replay counts what became of a call that was answered with a stale token.
func (m *Metrics) Replay(result string) {
	if m != nil {
		m.app.replays.WithLabelValues(result).Inc()
	}
}

// UpstreamErrcode counts an errcode of WeChat's, in an answer to a call of a family.
func (m *Metrics) UpstreamErrcode(family string, errcode int) {
	if m == nil {
		return
	}
	m.family.count(family, errcode)
	counter, known := m.app.byErrcode[errcode]
	if !known {
		counter = m.app.otherErrcode
	}
	counter.Inc()
}

// UninspectedAnswer counts an answer that passed without being looked at.
func (m *Metrics) UninspectedAnswer() {
	if m != nil {
		m.app.uninspect.Inc()
	}
}

// AppError counts an answer of our own. code is one of a bounded set of names.
func (m *Metrics) AppError(code string) {
	if m != nil {
		m.app.appErrors.WithLabelValues(code).Inc()
	}
}

// QuotaErrcodes returns the counter of one family for answers that say that something
// is called too often, by that errcode.
func (m *Metrics) QuotaErrcodes(family string, errcode int) Counter {
	if m == nil {
		return Counter{}
	}
	return Counter{m.app.quota.WithLabelValues(family, strconv.Itoa(errcode))}
}

// UpstreamDial counts a new connection to WeChat, or the failure to make one.
func (m *Metrics) UpstreamDial(ok bool) {
	if m == nil {
		return
	}
	result := "error"
	if ok {
		result = "ok"
	}
	m.app.dials.WithLabelValues(result).Inc()
}

// UpstreamFailure counts a call without a whole answer. reason is one of a
// bounded set of names.
func (m *Metrics) UpstreamFailure(reason string) {
	if m != nil {
		m.app.failures.WithLabelValues(reason).Inc()
	}
}

// UpstreamStale counts a kept connection that turned out closed.
func (m *Metrics) UpstreamStale() {
	if m != nil {
		m.app.stale.Inc()
	}
}

// UpstreamOut counts a host that was taken out.
func (m *Metrics) UpstreamOut() {
	if m != nil {
		m.app.out.Inc()
	}
}

// UpstreamRedirect counts a redirect.
func (m *Metrics) UpstreamRedirect() {
	if m != nil {
		m.app.redirects.Inc()
	}
}
