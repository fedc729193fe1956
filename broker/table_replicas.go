package broker

import (
	"time"
)

// life returns the longest life seen of e's tokens.
func (t *table) life(e *entry) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return e.lifeLocked()
}

// need reports whether e lacks a token that WeChat takes, and whether the one that it has is
// in the last part of its life, one of so many.
func (t *table) need(e *entry, parts time.Duration) (lacking, ending bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	token := e.usableLocked(now)
	if token == nil {
		return true, false
	}
	return false, token.DiesAt().Sub(now) <= e.lifeLocked()/parts
}

// usableUntil returns when the token of e dies that WeChat takes, the zero time for none, and
// the life of its tokens.
func (t *table) usableUntil(e *entry) (dies time.Time, life time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token := e.usableLocked(t.clock.Now()); token != nil {
		dies = token.DiesAt()
	}
	return dies, e.lifeLocked()
}

const (
	// convergeFrom and convergeTo are within what time, at the full life, a token is renewed
	// once more that two sidecars obtained at once: nobody knows in which order WeChat did it,
	// and which of the two it will refuse once both are no longer taken.
	convergeFrom = 30 * time.Second
	convergeTo   = 90 * time.Second
)

// convergeAt returns when a key that two sidecars renewed at once is to be renewed again.
func (t *table) convergeAt(e *entry) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.convergeAtLocked(e)
}

func (t *table) convergeAtLocked(e *entry) time.Time {
	d := convergeFrom + time.Duration(t.rand()*float64(convergeTo-convergeFrom))
	return t.clock.Now().Add(share(d, e.lifeLocked()))
}

// converge has a key in use renewed again within a minute or so, as two sidecars renewed it at
// once.
func (t *table) converge(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil {
		at := t.convergeAtLocked(e)
		e.renewal.converge = at.UnixNano()
		t.changeLocked(e, event{kind: eventDue}, when{at: at})
	}
}

// changedElsewhere has a key in use go on from what another sidecar wrote: before is the record
// that was in force here, after the one that is now.
func (t *table) changedElsewhere(key Key, before, after *record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil {
		return
	}
	now := t.clock.Now()
	alive := after.alive(now)
	verdict := after.verdict != StateUnknown && (after.verdict != before.verdict || !after.judged.Equal(before.judged))
	quota, met := quotaOf(after, alive, now)
	met = met && after.quotaMet.After(before.quotaMet) && after.quotaMet.After(t.budgets.resetAt)
	renewed := alive && (!after.token.Equal(before.token) || !after.dies.Equal(before.dies))
	switch {
	case verdict:
		ev := eventOf(after, alive)
		ev.wait = verdictMemory
		t.changeLocked(e, ev, when{as: notAtAll})
	case met:
		e.makeMishapsLocked().quota.met = instantOf(after.quotaMet)
		t.budgets.breaker(groupOf(key)).noteElsewhere(key, after.quotaMet, now)
		t.changeLocked(e, quota, when{})
	case renewed:
		next := t.renewedLocked(e, after.fullLife, after.token.Equal(before.token), now)
		t.changeLocked(e, event{kind: eventRenewed}, when{at: next})
	case before.verdict != StateUnknown && after.verdict == StateUnknown:
		t.changeLocked(e, event{kind: eventAuthorized}, when{as: asDue})
	case !before.token.IsZero() && after.token.IsZero():
		t.changeLocked(e, event{kind: eventDied}, when{as: unmoved})
	case after.generation != before.generation || !after.refreshToken.Equal(before.refreshToken):
		t.changeLocked(e, event{kind: eventReset}, when{as: asDue})
	}
}

// keys returns the keys in use.
func (t *table) keys() []Key {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := make([]Key, 0, t.entries.size())
	for e := range t.entries.all() {
		keys = append(keys, e.key)
	}
	return keys
}

// retryUnanswered has the keys tried now whose renewals waited for the store.
func (t *table) retryUnanswered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retryUnansweredLocked()
	t.wakeUp()
}
