package proxy

import (
	"sync"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// result is how a call ended, in wxsidecar_app_requests_total.
type result uint8

const (
	resultOK         result = iota // WeChat's answer, without an errcode
	resultErrcode                  // WeChat's answer, with one
	resultRefused                  // our own 4xx
	resultFailed                   // our own 5xx
	resultCut                      // a truncated answer
	resultClientGone               // the app left before the answer began
	results
)

var resultNames = [results]string{"ok", "errcode", "refused", "failed", "cut", "client_gone"}

// maxFamilies is how many families of paths have counters of their own. Further ones are
// counted as [routes.Other].
const maxFamilies = 44

// familyCounters are the counters of one family. They are made together, so that each
// series begins at 0: increase() would not show the first failure of a series that begins
// at 1.
type familyCounters struct {
	name                string
	latency             metrics.Histogram // WeChat's
	results             [results]metrics.Counter
	exhausted, frequent metrics.Counter // 45009, 45011
}

// resultCounters has the counters of each family. They are made at the family's first
// call, since there are hundreds of families and an app uses few.
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
	c.other = c.newCounters(routes.Other)
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
		counters = c.newCounters(name)
	}
	c.counters[family].Store(counters)
	return counters
}

func (c *resultCounters) newCounters(family string) *familyCounters {
	f := &familyCounters{
		name: family, latency: c.metrics.UpstreamTime(family),
		exhausted: c.metrics.QuotaErrcodes(family, wechat.CodeQuotaExhausted),
		frequent:  c.metrics.QuotaErrcodes(family, wechat.CodeTooFrequent),
	}
	for r, name := range resultNames {
		f.results[r] = c.metrics.AppRequests(family, name)
	}
	return f
}

// countErrcode counts an errcode of WeChat's. It counts those for too many calls by the
// family of the path as well.
func (s *Server) countErrcode(r *request, errcode int) {
	family := s.results.of(r.route.FamilyID)
	s.metrics.UpstreamErrcode(family.name, errcode)
	switch errcode {
	case wechat.CodeQuotaExhausted:
		family.exhausted.Inc()
	case wechat.CodeTooFrequent:
		family.frequent.Inc()
	}
}
