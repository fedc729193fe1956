package broker

import "time"

// when says when a key is to be tried next. The zero value means as soon as its condition
// allows.
type when struct {
	at time.Time
	// urgent has it pass the rate limit. A key with waiting callers is always urgent.
	urgent bool
	// as is the part of a date, if it is to be something else than a date.
	as schedule
}

// schedule is when a key is tried, apart from dates.
type schedule uint8

const (
	onDate   schedule = iota
	atOnce            // whatever its condition says
	asDue             // when its token is due, else as soon as its condition allows
	unmoved           // as it was scheduled before
	notAtAll          // only a push or a call brings it back
)

// change moves the key to its condition after ev and has it tried at w. It does nothing
// for a key that is not in use.
func (t *table) change(key Key, ev event, w when) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil {
		t.changeLocked(e, ev, w)
	}
}

// changeLocked is all that happens when something happens to a key: its condition
// follows, it is scheduled, and those who wait for it are told, callers and the keys that
// need its token. While a renewal of the key is under way it is in no queue, else a second
// one would begin beside it; should that renewal fail, its end tries the key again, as it
// may have begun before the event. ev.alive is set here.
func (t *table) changeLocked(e *entry, ev event, w when) {
	now := t.clock.Now()
	if ev.kind != eventBlocked {
		unblockLocked(e)
	}
	ev.alive = e.usableLocked(now) != nil
	t.transitionLocked(e, ev, now)
	t.rescheduleLocked(e, w, now)
	e.notifyLocked()
	t.tellDependentsLocked(e, now)
}

func (t *table) rescheduleLocked(e *entry, w when, now time.Time) {
	urgent := w.urgent || e.renewal.waiters > 0
	token := e.usableLocked(now)
	switch {
	case w.as == notAtAll:
		unscheduleLocked(e)
	case w.as == atOnce:
		t.scheduleLocked(e, now, true)
	case w.as == asDue && token != nil:
		t.scheduleLocked(e, due(token, token.Life(), t.renewAt, t.rand()), false)
	case w.as != unmoved:
		t.scheduleLocked(e, later(w.at, later(now, e.cond.notBefore.time())), urgent)
	}
}

// retryLocked has e tried now, as the cause of its trouble is said to be gone. A renewal
// under way may yet fail of that cause, so its end has it tried again.
func (t *table) retryLocked(e *entry, urgent bool) {
	if e.renewal.running {
		e.renewal.again = true
		return
	}
	t.changeLocked(e, event{kind: eventReset}, when{urgent: urgent})
}

// transitionLocked moves e to the condition after ev and logs what changed.
func (t *table) transitionLocked(e *entry, ev event, now time.Time) {
	before := e.cond
	e.cond = e.nextLocked(ev, now)
	if e.cond.state != before.state || !e.cond.hasTrouble(before.trouble, before.errcode) {
		t.logLocked(e)
	}
}

// nextLocked returns the condition of e after ev. What only a person can cure says what
// to do, behind WeChat's own words; the record keeps the words alone.
func (e *entry) nextLocked(ev event, now time.Time) condition {
	return transition(e.cond, withAdvice(e.key, ev), now)
}

// tellDependentsLocked has those that need e's token try again when it is usable, or
// hear of its trouble. Where the trouble has just ended, by a ticket, say, the token is on
// its way, and a rejected one of theirs stays held back: its successor comes next.
func (t *table) tellDependentsLocked(e *entry, now time.Time) {
	if e.usableLocked(now) == nil {
		for d := range e.blocking.dependents {
			if e.cond.trouble != StateUnknown {
				d.restoreSuspectLocked()
			}
			t.changeLocked(d, event{kind: eventBlocked, blocker: e.cond.state, reason: e.cond.reason, errcode: e.cond.errcode}, when{as: unmoved})
		}
		return
	}
	t.unblockDependentsLocked(e)
	if e.key.Kind == KindComponent {
		t.tokenCame(e.key.AppID)
	}
}

// blockLocked has e wait for the token of other, and other renewed.
func (t *table) blockLocked(e, other *entry) {
	e.blocking.on = other
	if other.blocking.dependents == nil {
		other.blocking.dependents = map[*entry]struct{}{}
	}
	other.blocking.dependents[e] = struct{}{}
	t.requestLocked(other)
}

// unblockLocked has e wait for no other key.
func unblockLocked(e *entry) {
	if on := e.blocking.on; on != nil {
		delete(on.blocking.dependents, e)
		e.blocking.on = nil
	}
}

// unblockDependentsLocked has those tried now that wait for e.
func (t *table) unblockDependentsLocked(e *entry) {
	for d := range e.blocking.dependents {
		t.changeLocked(d, event{kind: eventUnblocked}, when{})
	}
}

// ticketCame has a component tried that has no usable token. One that lives is renewed as
// well if that was due and failed for want of this very ticket: nothing else would bring
// it back before the token's death.
func (t *table) ticketCame(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil {
		return
	}
	if e.renewal.running {
		e.renewal.again = true // it may have begun with the older ones
	}
	if e.usableLocked(t.clock.Now()) != nil && e.cond.trouble != StateWaitingTicket {
		return
	}
	w := when{urgent: true}
	if e.cond.trouble == StateMisconfigured {
		w.as = atOnce // perhaps cured since: WeChat does push, and no more than every ten minutes
	}
	t.changeLocked(e, event{kind: eventTicket}, w)
}

// changeTokenless is change for a key without a token, and only if its trouble is the
// given one, or whatever it is for StateUnknown.
func (t *table) changeTokenless(key Key, trouble State, ev event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil || e.token.Load().Alive(t.clock.Now()) || trouble != StateUnknown && e.cond.trouble != trouble {
		return
	}
	t.changeLocked(e, ev, when{})
}
