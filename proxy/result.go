package proxy

import (
	"strconv"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
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

// resultCounters holds the counters of each family, made when it is first called:
// there are hundreds of families, and an app uses few.
type resultCounters struct {
	metrics  *metrics.Metrics
	families []string
	counters []atomic.Pointer[metrics.Counter]
}

func newResultCounters(m *metrics.Metrics, families []string) resultCounters {
	return resultCounters{m, families, make([]atomic.Pointer[metrics.Counter], len(families)*int(results))}
}

func (c *resultCounters) count(family int, r result) {
	p := &c.counters[family*int(results)+int(r)]
	counter := p.Load()
	if counter == nil {
		c.add(family)
		counter = p.Load()
	}
	counter.Inc()
}

// add makes the counters of all results of a family: a series that begins with a
// failure begins at 1, and increase() does not show that one.
func (c *resultCounters) add(family int) {
	for r, name := range resultNames {
		made := c.metrics.AppRequests(c.families[family], name)
		c.counters[family*int(results)+r].Store(&made)
	}
}

// countErrcode counts an errcode of WeChat's, and those for calling too often by
// the family of paths as well.
func (s *Server) countErrcode(r *request, errcode int) {
	label := "other"
	if knownErrcode(errcode) {
		label = strconv.Itoa(errcode)
	}
	s.metrics.UpstreamErrcode(label)
	if errcode == wechat.CodeQuotaExhausted || errcode == wechat.CodeTooFrequent {
		s.metrics.QuotaErrcode(r.route.Family, label)
	}
}
