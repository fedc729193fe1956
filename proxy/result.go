package proxy

import (
	"sync"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// result is how a call ended, as wxsidecar_app_requests_total has it.
type result uint8

const (
	resultOK      result = iota // WeChat's answer, without an errcode
	resultErrcode               // WeChat's answer, with one
	resultRefused               // our own 4xx
	resultFailed                // our own 5xx
	resultCut                   // an answer that broke off
	resultGone                  // the app left before the answer began
	results
)

var resultNames = [results]string{"ok", "errcode", "refused", "failed", "cut", "client_gone"}

// maxFamilies is how many families of paths have counters of their own; what an app
// calls beyond them is counted as [routes.Other].
const maxFamilies = 100

// familyCounters are the counters of one family. They are made together: a series
// that begins with a failure begins at 1, and increase() does not show that one.
type familyCounters struct {
	results             [results]metrics.Counter
	exhausted, frequent metrics.Counter // 45009, 45011
}

// resultCounters holds the counters of each family, made when it is first called:
// there are hundreds of families, and an app uses few.
type resultCounters struct {
	metrics  *metrics.Metrics
	families []string
	counters []atomic.Pointer[familyCounters]
	other    *familyCounters

	mu   sync.Mutex
	made int
}

// init makes c ready. families are the names, in the order of their numbers.
func (c *resultCounters) init(m *metrics.Metrics, families []string) {
	c.metrics, c.families = m, families
	c.counters = make([]atomic.Pointer[familyCounters], len(families))
	c.other = c.make(routes.Other)
}

func (c *resultCounters) count(family int, r result) { c.of(family).results[r].Inc() }

// of returns the counters of a family.
func (c *resultCounters) of(family int) *familyCounters {
	if made := c.counters[family].Load(); made != nil {
		return made
	}
	return c.add(family)
}

func (c *resultCounters) add(family int) *familyCounters {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made := c.counters[family].Load(); made != nil {
		return made
	}
	counters := c.other
	if name := c.families[family]; name != routes.Other && c.made < maxFamilies {
		c.made++
		counters = c.make(name)
	}
	c.counters[family].Store(counters)
	return counters
}

func (c *resultCounters) make(family string) *familyCounters {
	f := &familyCounters{
		exhausted: c.metrics.QuotaErrcodes(family, wechat.CodeQuotaExhausted),
		frequent:  c.metrics.QuotaErrcodes(family, wechat.CodeTooFrequent),
	}
	for r, name := range resultNames {
		f.results[r] = c.metrics.AppRequests(family, name)
	}
	return f
}

// countErrcode counts an errcode of WeChat's, and those for calling too often by
// the family of paths as well.
func (s *Server) countErrcode(r *request, errcode int) {
	s.metrics.UpstreamErrcode(errcode)
	switch errcode {
	case wechat.CodeQuotaExhausted:
		s.results.of(r.route.FamilyID).exhausted.Inc()
	case wechat.CodeTooFrequent:
		s.results.of(r.route.FamilyID).frequent.Inc()
	}
}
