package broker

import "time"

// rejection is what is known of calls that WeChat refused for a key's token.
type rejection struct {
	suspect   *Token // rejected by WeChat and held back while its successor is awaited
	rejected  uint64 // the generation that WeChat rejected and that is served for want of a better; 0: none
	unchanged uint64 // the generation that a forced renewal brought back unchanged; 0: none
	refused   uint64 // the generation that was refused last; 0: none
	since     int64  // when it was first refused since it last served a call, unix nanoseconds
	forced    forcedBudget
	// Of stable_token's force_refresh.
	refreshes dayBudget
	refreshAt instant // when one is allowed again
}

// report says that WeChat refused a call that carried generation of key, see
// [Broker.Report].
func (t *table) report(key Key, generation uint64, r Refusal) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil {
		return true // nothing is in force; the next call loads it
	}
	token := e.token.Load()
	if token == nil || token.Generation != generation {
		return true
	}
	if generation == e.mishapsLocked().rejection.rejected {
		t.requestLocked(e) // known, and its successor is being tried for
		return true
	}
	now := t.clock.Now()
	if token.Alive(now) && !t.mayForceLocked(e, token, r, now) {
		return false
	}
	t.log.Info("WeChat rejects a token; a renewal is wanted", "key", key.String(), "generation", generation, "errcode", r.Errcode, "path", clip(r.Path))
	e.makeMishapsLocked().rejection.suspect = token
	e.token.Store(nil)
	t.requestLocked(e)
	if trouble := e.rootLocked().cond.trouble; trouble != StateNeedsAuthorization && trouble != StateUnauthorized {
		t.restoreIfHopelessLocked(e, now)
	}
	if e.mishaps.rejection.rejected == generation { // its trouble was known, and shows from now on
		t.transitionLocked(e, event{kind: eventDied}, now)
	}
	return true
}

// mayForceLocked reports whether the refusal of a call that carried e's living token is
// to force a renewal, and notes and says why not.
func (t *table) mayForceLocked(e *entry, token *Token, r Refusal, now time.Time) bool {
	if r.Final {
		r.First = e.calls.faulty.firstRefused(r.Path, now)
	}
	served, since := e.refusedLocked(token, now)
	seen := &e.makeMishapsLocked().rejection
	attrs := []any{"key", e.key.String(), "generation", token.Generation, "errcode", r.Errcode, "path", clip(r.Path)}
	switch {
	case r.refutes(token) || !r.First.IsZero() && seen.confirmed(token, now):
		e.calls.faulty.found(r.Path, r.First, now, e.lifeLocked())
		t.log.Warn("WeChat refuses a call again with a token that it has given since: the call is at fault, not the token", attrs...)
		return false
	case !e.calls.faulty.mayForce(r.Path, served, since, now, e.lifeLocked()):
		t.log.Debug("WeChat refuses a call that it refused lately whatever the token was; the token is kept", attrs...)
		return false
	case seen.forced.take(now, e.lifeLocked()):
		return true
	}
	t.metrics.Displaced(e.key.Kind.Label())
	cause := "somebody outside this sidecar renews it too"
	if e.calls.faulty.any(now) {
		cause += ", or WeChat refuses calls whatever their token"
	}
	t.log.Error("a token is rejected again and again although it is fresh: "+cause, attrs...)
	return false
}

// refusedLocked notes that e's living token was refused at now. It returns whether that
// has ever served a call, and the first refusal since it last did.
func (e *entry) refusedLocked(token *Token, now time.Time) (served bool, since time.Time) {
	r := &e.makeMishapsLocked().rejection
	if e.calls.served.refused(token.Generation) || r.refused != token.Generation {
		r.refused, r.since = token.Generation, now.UnixNano()
	}
	return e.calls.served.ever(token.Generation), time.Unix(0, r.since)
}

// confirmed reports whether stable_token has given the token once more after a refusal,
// and may not be made to give another one now.
func (r *rejection) confirmed(token *Token, now time.Time) bool {
	return token.Generation == r.unchanged && (now.Before(r.refreshAt.time()) || !r.refreshes.left(now, forceRefreshPerDay))
}

// mayForceRefresh reports whether stable_token is to be made to give another token than
// the one in force: it has given that once more although calls with it are refused.
func (t *table) mayForceRefresh(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.mishaps == nil {
		return false
	}
	now, r := t.clock.Now(), &e.mishaps.rejection
	if r.suspect == nil || r.suspect.Generation != r.unchanged || now.Before(r.refreshAt.time()) || !r.refreshes.take(now, forceRefreshPerDay) {
		return false
	}
	r.refreshAt = instantOf(now.Add(forceRefreshInterval))
	return true
}

// isRejected reports whether WeChat has rejected e's token of that generation; 0 is none, of
// which it never has.
func (t *table) isRejected(e *entry, generation uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := e.mishapsLocked().rejection
	return generation != 0 && r.rejected == generation || r.suspect != nil && r.suspect.Generation == generation
}
