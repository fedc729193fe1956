package broker

import "time"

// moveClock takes the Date of an answer and reports whether the clock was moved. What
// is timed by it moves at the same moment: a time set between the two would be moved
// although it is right.
func (t *table) moveClock(date, sent, received time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	by := t.clock.Observe(date, sent, received)
	if by != 0 {
		t.moveWaitsLocked(by)
	}
	return by != 0
}

// moveWaitsLocked lets pauses last as long as they were meant to, and states as long as
// they did, although the clock by which they were set has been moved since.
func (t *table) moveWaitsLocked(by time.Duration) {
	for e := range t.entries.all() {
		moved := []*instant{&e.cond.since, &e.cond.ticketless, &e.cond.notBefore}
		if m := e.mishaps; m != nil {
			moved = append(moved, &m.rejection.refreshAt, &m.quota.overrun)
		}
		for _, at := range moved {
			*at = at.add(by)
		}
		if e.queued.in != nil && !e.dueByTokenLocked() {
			t.scheduleLocked(e, e.queued.due.add(by).time(), e.queued.in == &t.urgent)
		}
	}
}

// dueByTokenLocked reports whether e is due by the dates of its token, which are WeChat's
// and no matter of our clock: neither trouble nor the lack of a living token has set
// the time.
func (e *entry) dueByTokenLocked() bool {
	token := e.token.Load()
	return e.cond.trouble == StateUnknown && token != nil && e.queued.due < token.dies
}
