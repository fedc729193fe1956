package broker

import "time"

// idleLocked reports whether nobody has called e for two of its lives. What is configured
// never is.
func (t *table) idleLocked(e *entry, now time.Time) bool {
	if t.config.Load().has(e.key) || e.renewal.waiters > 0 || e.cond.trouble == StateNeedsAuthorization {
		return false
	}
	if e.saved.unsaved.Load() {
		return false // memory has what the store has not
	}
	return now.Sub(e.lastUsed()) > 2*e.lifeLocked()
}

// dropLocked forgets an entry that is in use no longer; the store still has its record,
// and the next call brings it back.
func (t *table) dropLocked(e *entry) {
	unscheduleLocked(e)
	unblockLocked(e)
	t.entries.remove(e)
	t.cache.forget(e)
	e.disown()
	// Nobody else would: what is forgotten gets no token.
	t.unblockDependentsLocked(e)
	e.notifyLocked() // who waits for it asks again
}

// dropUnconfigured drops the keys of which gone says so, with the tickets for pages that
// are given for them, as nobody would know whose those are. It returns their keys.
func (t *table) dropUnconfigured(gone func(Key) bool) []Key {
	t.mu.Lock()
	defer t.mu.Unlock()
	var dropped []Key
	for e := range t.entries.all() {
		if gone(e.key) || e.key.Kind.IsTicket() && gone(e.key.account().Key()) {
			t.dropLocked(e)
			dropped = append(dropped, e.key)
		}
	}
	return dropped
}
