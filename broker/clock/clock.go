// Package clock tells WeChat's time: our own, corrected by the skew against the Date of
// WeChat's answers.
//
// The package makes no API promise outside this module.
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// skewTolerance is what the one-second steps of a Date and a slow answer may
	// make of no skew at all.
	skewTolerance = 2 * time.Second
	// skewWitnesses is how many answers in a row must agree before a skew that was
	// measured once is replaced: one host with a wrong clock must not make every
	// token look dead.
	skewWitnesses = 3
)

// Clock tells WeChat's time. It is safe for concurrent use. Make it with [New].
type Clock struct {
	local func() time.Time

	skew atomic.Int64 // nanoseconds; atomic, as every call reads it

	mu       sync.Mutex
	measured bool
	rival    time.Duration // a differing skew that waits for witnesses
	seen     int
}

// New returns a clock without a skew over our own one, local.
func New(local func() time.Time) *Clock { return &Clock{local: local} }

// Local returns our own time.
func (c *Clock) Local() time.Time { return c.local() }

// Now returns WeChat's time, as far as its skew is known.
func (c *Clock) Now() time.Time {
	return c.local().Add(time.Duration(c.skew.Load()))
}

// Offset returns WeChat's clock minus ours, and whether it was measured.
func (c *Clock) Offset() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.skew.Load()), c.measured
}

// Disputed reports whether an answer differed from the skew in use, and others have to agree with
// it before that is replaced.
func (c *Clock) Disputed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen > 0
}

// Assume sets a skew that was measured by an earlier run.
func (c *Clock) Assume(skew time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.measured {
		c.skew.Store(int64(skew))
	}
}

// Observe takes the Date of an answer that was written between the local times
// sent and received. It returns by how much the skew in use changed, 0 for not at all.
func (c *Clock) Observe(date, sent, received time.Time) time.Duration {
	delay := received.Sub(sent)
	found := date.Add(time.Second / 2).Sub(sent.Add(delay / 2))
	c.mu.Lock()
	defer c.mu.Unlock()
	if (found - time.Duration(c.skew.Load())).Abs() <= skewTolerance+delay/2 {
		c.measured, c.seen = true, 0
		return 0
	}
	if c.seen == 0 || (found-c.rival).Abs() > skewTolerance+delay/2 {
		c.rival, c.seen = found, 0
	}
	c.seen++
	if c.measured && c.seen < skewWitnesses {
		return 0
	}
	before := c.skew.Swap(int64(found))
	c.measured, c.seen = true, 0
	return found - time.Duration(before)
}
