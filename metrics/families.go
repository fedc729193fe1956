package metrics

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxFamilyErrcodes is how many pairs of a family and an errcode have a series. Further
// ones count as other.
const maxFamilyErrcodes = 120

// familyMetrics are what is told of WeChat by family of the path.
type familyMetrics struct {
	latency  *histograms
	errcodes *prometheus.CounterVec

	mu    sync.Mutex
	pairs map[familyErrcode]prometheus.Counter
}

type familyErrcode struct {
	family  string
	errcode int
}

func newFamilyMetrics(r *prometheus.Registry) *familyMetrics {
	m := &familyMetrics{
		latency: newHistograms(r, "upstream_request_duration_seconds",
			"Time from the first byte sent to WeChat to the answer, or to its head where it streams, by family of the path; one a try.",
			"family", .05, .1, .25, .5, 1, 5),
		errcodes: newCounter(r, "family_errcodes_total",
			"WeChat's errcodes in answers to apps, by family of the path; other for both beyond 120 pairs.", "family", "errcode"),
		pairs: map[familyErrcode]prometheus.Counter{},
	}
	m.errcodes.WithLabelValues(other, other)
	m.latency.with(other)
	return m
}

// count counts an errcode. It is no part of the hit path, so it may take a lock.
func (m *familyMetrics) count(family string, errcode int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pair := familyErrcode{family, errcode}
	c, made := m.pairs[pair]
	switch {
	case made:
	case len(m.pairs) < maxFamilyErrcodes:
		c = m.errcodes.WithLabelValues(family, strconv.Itoa(errcode))
		m.pairs[pair] = c
	default:
		c = m.errcodes.WithLabelValues(other, other)
	}
	c.Inc()
}

// UpstreamTime returns the histogram of how long WeChat takes for one family.
func (m *Metrics) UpstreamTime(family string) Histogram {
	if m == nil {
		return Histogram{}
	}
	return m.family.latency.with(family)
}
