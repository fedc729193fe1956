package broker

import "time"

// moveClock takes the Date of an answer and reports whether the clock was moved. What
// is timed by it moves at the same moment: a time set between the two would be moved
// although it is right.
func (b *Broker) moveClock(date, sent, received time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := b.clock.Observe(date, sent, received)
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
