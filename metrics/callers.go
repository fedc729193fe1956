package metrics

import "github.com/prometheus/client_golang/prometheus"

type callerMetrics struct {
	requests *prometheus.CounterVec
	duration *histograms
}

// NoCaller is the label of calls that show no caller's key.
const NoCaller = "none"

func newCallerMetrics(r *prometheus.Registry) callerMetrics {
	m := callerMetrics{
		requests: newCounter(r, "caller_requests_total",
			"Calls of apps by configured caller and result, where callers are configured: none for no caller's, other beyond the first 20.", "caller", "result"),
		duration: newHistograms(r, "caller_request_duration_seconds",
			"Time from the head of a call to the end of its answer, by configured caller.", "caller", .1, .5, 1, 5),
	}
	for _, result := range knownResults {
		m.requests.WithLabelValues(NoCaller, result)
	}
	m.duration.with(NoCaller)
	return m
}

// CallerRequests returns the counter of one caller and result. caller is a name out of the
// configuration, or NoCaller; who calls bounds how many there are.
func (m *Metrics) CallerRequests(caller, result string) Counter {
	if m == nil {
		return Counter{}
	}
	return Counter{m.caller.requests.WithLabelValues(caller, result)}
}

// CallerTime returns the histogram of how long one caller's calls take, on the terms of
// CallerRequests.
func (m *Metrics) CallerTime(caller string) Histogram {
	if m == nil {
		return Histogram{}
	}
	return m.caller.duration.with(caller)
}
