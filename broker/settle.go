package broker

import "time"

const (
	// verdictMemory is how long a verdict that only the merchant can cure is
	// remembered before a call has it checked again.
	verdictMemory = 60 * time.Second
	// misconfiguredProbe is how often a fault that only a person can cure is looked
	// at again.
	misconfiguredProbe = 3 * time.Minute
)

// settle ends a renewal: the new condition, the next date, and everybody who
// waited is told.
func (b *Broker) settle(e *entry, out outcome) {
	if out.noAnswer != nil {
		b.pause(out.noAnswer)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.running--
	e.running = false
	switch out.what {
	case happenedFailed, happenedNoTicket:
		if out.wait == 0 {
			out.wait = backoff(e.cond.failures+1, e.life(), b.opts.Rand())
		}
	case happenedBlocked:
		b.block(e, &out, now)
	}
	switch {
	case e.blockedOn != nil:
		b.releaseHopeless(e, now)
	case out.what != happenedUnblocked:
		b.release(e, out)
	}
	if out.what == happenedRenewed {
		e.rejected = 0
	}
	out.alive = b.sound(e, now) != nil
	b.turn(e, out.event, now)
	b.reschedule(e, out, now)
	e.announce()
	b.tellDependents(e)
	b.checkpoint("renewal-scheduled")
	b.wakeUp()
}

// turn moves e to the condition after ev and logs what changed. Broker.mu is held.
func (b *Broker) turn(e *entry, ev event, now time.Time) {
	before := e.cond
	e.cond = e.turned(ev, now)
	if e.cond.state != before.state || !e.cond.hasTrouble(before.trouble, before.errcode) {
		b.logCondition(e)
	}
}

func (b *Broker) generation(e *entry) uint64 {
	if t := e.token.Load(); t != nil {
		return t.Generation
	}
	return 0
}

// release gives the rejected token back unless a newer one is in force. A renewal
// that failed leaves nothing better. One that brought the same value back shows that
// WeChat still considers it valid. Broker.mu is held.
func (b *Broker) release(e *entry, out outcome) {
	suspect := e.suspect
	e.suspect = nil
	if suspect == nil {
		return
	}
	if out.unchanged {
		e.unchanged = suspect.Generation
	}
	if e.token.Load() == nil && out.what != happenedRevoked && out.what != happenedRefreshVoid {
		e.token.Store(suspect)
		e.rejected = suspect.Generation
	}
}

// sound returns the living token of e unless WeChat has rejected it, else nil.
// Broker.mu is held.
func (b *Broker) sound(e *entry, now time.Time) *Token {
	if t := e.token.Load(); t.Alive(now) && t.Generation != e.rejected {
		return t
	}
	return nil
}

// block notes which key e waits for. Broker.mu is held.
func (b *Broker) block(e *entry, out *outcome, now time.Time) {
	other := b.active[out.blockedOn]
	if other == nil { // configured no longer
		out.what, out.wait = happenedFailed, backoff(e.cond.failures+1, e.life(), b.opts.Rand())
		return
	}
	if b.sound(other, now) != nil {
		out.what = happenedUnblocked // it got its token while this renewal was on its way back
		return
	}
	out.blocker = other.cond.state
	e.blockedOn = other
	if other.dependents == nil {
		other.dependents = map[*entry]struct{}{}
	}
	other.dependents[e] = struct{}{}
	b.want(other)
}

// unblock lets go of the key that e waits for, if any. Broker.mu is held.
func (b *Broker) unblock(e *entry) {
	delete(e.blockedOn.dependents, e)
	e.blockedOn = nil
}

// free has those renewed that wait for e. Broker.mu is held.
func (b *Broker) free(e *entry) {
	now := b.clock.Now()
	for d := range e.dependents {
		b.unblock(d)
		b.turn(d, event{what: happenedUnblocked, alive: d.token.Load().Alive(now)}, now)
		b.place(d, now, d.waiters > 0)
	}
	e.dependents = nil
}

// tellDependents wakes those that wait for e: to renew when it is live, to hear
// of its trouble otherwise. Broker.mu is held.
func (b *Broker) tellDependents(e *entry) {
	now := b.clock.Now()
	live := b.sound(e, now) != nil
	if live {
		b.free(e)
	}
	for d := range e.dependents {
		b.turn(d, event{what: happenedBlocked, blocker: e.cond.state, alive: d.token.Load().Alive(now), reason: e.cond.reason, errcode: e.cond.errcode}, now)
		b.release(d, outcome{event: event{what: happenedBlocked}})
		d.announce()
	}
	if live && e.key.Kind == KindComponent {
		b.attend(e.key.AppID)
		b.readInbox()
	}
}

// reschedule puts e where its next renewal will be found. Broker.mu is held.
func (b *Broker) reschedule(e *entry, out outcome, now time.Time) {
	again := e.again
	e.again = false
	switch {
	case out.what == happenedRenewed:
		b.place(e, out.due, false)
	case out.what == happenedUnblocked:
		b.place(e, now, e.waiters > 0)
	case e.blockedOn != nil:
		b.unplace(e) // also if it is to be tried again: the other key brings it back
	case again:
		b.place(e, now, true) // what came while this renewal was under way may cure it
	case e.cond.trouble == StateWaitingTicket, e.cond.trouble == StateUnauthorized, e.cond.trouble == StateNeedsAuthorization:
		b.unplace(e) // a push or a call brings it back
	default:
		b.place(e, e.cond.notBefore, e.waiters > 0)
	}
}
