package broker

import "time"

// finish ends the renewal of e with what came of it.
func (t *table) finish(e *entry, out outcome) {
	if out.unanswered != nil {
		t.pause(out.unanswered)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	t.running--
	e.renewal.running = false
	if out.kind == eventBlocked {
		t.finishBlockedLocked(e, &out, now)
	}
	if (out.kind == eventFailed || out.kind == eventNoTicket) && out.wait == 0 {
		out.wait = backoff(int(e.cond.failures)+1, e.lifeLocked(), t.rand())
	}
	if out.unchanged {
		e.noteUnchangedLocked()
	}
	switch {
	case e.blocking.on != nil:
		t.restoreIfHopelessLocked(e, now)
	case out.kind == eventHeld, out.kind == eventUnblocked: // its successor is on its way
	case out.kind != eventRevoked && out.kind != eventRefreshVoid:
		e.restoreSuspectLocked()
	case e.mishaps != nil:
		e.mishaps.rejection.suspect = nil
	}
	if out.kind == eventRenewed && e.mishaps != nil {
		e.mishaps.rejection.rejected = 0
	}
	again := e.renewal.again
	e.renewal.again = false
	t.changeLocked(e, out.event, nextAfter(e, out, again))
	t.checkpoint("renewal-scheduled")
	t.wakeUp()
}

// nextAfter returns when a key is tried next after a renewal with that outcome. again
// says that something came while it was under way which may cure it.
func nextAfter(e *entry, out outcome, again bool) when {
	switch {
	case out.kind == eventRenewed:
		return when{at: out.due}
	case out.kind == eventUnblocked, out.kind == eventHeld:
		return when{}
	case e.blocking.on != nil:
		return when{as: notAtAll} // also if it is to be tried again: the other key brings it back
	case again:
		return when{as: atOnce}
	case out.kind == eventNoTicket, out.kind == eventRevoked, out.kind == eventRefreshVoid:
		return when{as: notAtAll} // a push or a call brings it back
	default:
		return when{at: out.due}
	}
}

// finishBlockedLocked notes which key e waits for. That one may have got its token while
// the renewal was on its way back, or be configured no longer.
func (t *table) finishBlockedLocked(e *entry, out *outcome, now time.Time) {
	other := t.entries.find(out.blockedOn)
	switch {
	case other == nil:
		out.kind = eventFailed
	case other.usableLocked(now) != nil:
		out.kind = eventUnblocked
	default:
		out.blocker = other.cond.state
		t.blockLocked(e, other)
	}
}

// noteUnchangedLocked notes that a renewal brought the value in force back: WeChat still
// considers it valid. That is news where it was rejected, or where somebody waits all the
// same, who then had it rejected while nobody knew, as before the key came into use. Those
// are served it; else they would have it renewed again and again.
func (e *entry) noteUnchangedLocked() {
	r := e.mishapsLocked().rejection
	token := r.suspect
	if token == nil && (r.rejected != 0 || e.renewal.waiters > 0) {
		token = e.token.Load()
	}
	if token != nil {
		e.makeMishapsLocked().rejection.unchanged = token.Generation
	}
}

// restoreSuspectLocked has the rejected token served again unless a newer one is in
// force: a renewal that failed leaves nothing better.
func (e *entry) restoreSuspectLocked() {
	suspect := e.mishapsLocked().rejection.suspect
	if suspect == nil {
		return
	}
	r := &e.mishaps.rejection
	r.suspect = nil
	if e.token.Load() == nil {
		e.token.Store(suspect)
		r.rejected = suspect.Generation
	}
}

// restoreIfHopelessLocked is restoreSuspectLocked where nothing can replace the token
// within a caller's patience, as after a renewal that failed: one wrong answer of WeChat's
// must not take the key down until its quota is there again.
func (t *table) restoreIfHopelessLocked(e *entry, now time.Time) {
	if t.hopelessLocked(e, now, now.Add(t.wait)) != nil {
		e.restoreSuspectLocked()
	}
}
