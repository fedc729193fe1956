package broker

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

// clock tells WeChat's time: our own, corrected by the skew against the Date of
// WeChat's answers. It is safe for concurrent use.
type clock struct {
	local func() time.Time

	skew atomic.Int64 // nanoseconds; atomic, as every call reads it

	mu       sync.Mutex
	measured bool
	rival    time.Duration // a differing skew that waits for witnesses
	seen     int
}

func (c *clock) now() time.Time {
	return c.local().Add(time.Duration(c.skew.Load()))
}

// offset returns WeChat's clock minus ours, and whether it was measured.
func (c *clock) offset() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.skew.Load()), c.measured
}

// assume sets a skew that was measured by an earlier run.
func (c *clock) assume(skew time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.measured {
		c.skew.Store(int64(skew))
	}
}

// observe takes the Date of an answer that was written between the local times
// sent and received. It returns by how much the skew in use changed, 0 for not at all.
func (c *clock) observe(date, sent, received time.Time) time.Duration {
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

// moveClock takes the Date of an answer and reports whether the clock was moved. What
// is timed by it moves at the same moment: a time set between the two would be moved
// although it is right.
func (b *Broker) moveClock(date, sent, received time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := b.clock.observe(date, sent, received)
	if by != 0 {
		b.moveWaits(by)
	}
	return by != 0
}

// moveWaits lets pauses last as long as they were meant to, and states as long as
// they did, although the clock by which they were set has been moved since.
// Broker.mu is held.
func (b *Broker) moveWaits(by time.Duration) {
	for _, e := range b.active {
		for _, t := range []*time.Time{&e.cond.since, &e.cond.ticketless, &e.cond.notBefore, &e.forceAt, &e.overrunForced, &e.overrunDue} {
			if !t.IsZero() {
				*t = t.Add(by)
			}
		}
		if e.queue != nil && !e.dueByToken() {
			b.place(e, e.due.Add(by), e.queue == &b.urgent)
		}
	}
}

// dueByToken reports whether e is due by the dates of its token, which are WeChat's
// and no matter of our clock: neither trouble nor the lack of a living token has set
// the time. Broker.mu is held.
func (e *entry) dueByToken() bool {
	t := e.token.Load()
	return e.cond.trouble == StateUnknown && t != nil && e.due.Before(t.DiesAt)
}
