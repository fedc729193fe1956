package proxy

import (
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// maxCallers is how many callers have counters of their own. Further ones are counted
// together, in the order in which the configuration names them.
const maxCallers = 20

// oneCaller is the counters of one caller.
type oneCaller struct {
	results [results]metrics.Counter
	time    metrics.Histogram
}

func (o *oneCaller) count(r result, took time.Duration) {
	o.results[r].Inc()
	o.time.Observe(took)
}

// callerCounters has the counters of each caller, by name. A caller that a reload takes
// away and another brings back goes on with its own.
type callerCounters struct {
	metrics *metrics.Metrics
	none    *oneCaller

	mu   sync.Mutex
	made map[string]*oneCaller
	rest *oneCaller // nil before there are too many
}

func (c *callerCounters) init(m *metrics.Metrics) {
	c.metrics, c.made = m, map[string]*oneCaller{}
	c.none = c.newCounters(metrics.NoCaller)
}

// of returns the counters of a configured caller. Its series begin at 0 with the first.
func (c *callerCounters) of(name string) *oneCaller {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch made := c.made[name]; {
	case made != nil:
		return made
	case len(c.made) < maxCallers:
		c.made[name] = c.newCounters(name)
		return c.made[name]
	case c.rest == nil:
		c.rest = c.newCounters("other")
	}
	return c.rest
}

func (c *callerCounters) newCounters(name string) *oneCaller {
	o := &oneCaller{time: c.metrics.CallerTime(name)}
	for r, result := range resultNames {
		o.results[r] = c.metrics.CallerRequests(name, result)
	}
	return o
}

// countCaller counts a call that has ended by who made it, where callers are configured.
func (s *Server) countCaller(r *request, took time.Duration) {
	switch {
	case r.caller != nil:
		r.caller.counters.count(r.result, took)
	case len(s.callers.Load().all) > 0:
		s.byCaller.none.count(r.result, took)
	}
}
