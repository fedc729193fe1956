package broker

import (
	"container/heap"
	"context"
	"time"
)

// due returns when a token is to be renewed ahead of its death: at the share at
// of its life, up to a tenth of the life earlier by r, which is within [0, 1).
//
// An own account's stable token is another matter: WeChat gives the same one
// until its last five minutes, a 24th of its full life, so it is due then.
func due(t *Token, full time.Duration, at, r float64) time.Time {
	if t.key.Kind == KindAccount {
		return lastMinutes(t, full, r)
	}
	return t.ObtainedAt.Add(time.Duration((at - r/10) * float64(t.Life())))
}

func lastMinutes(t *Token, full time.Duration, r float64) time.Time {
	window := max(t.Life(), full) / 24
	return t.DiesAt.Add(-window + time.Duration(r*float64(window)/10))
}

// askAgain returns when to ask again after WeChat gave the same token at now: in
// the token's last five minutes, where there is a new one at the latest, and there
// the sooner the nearer the end is.
func askAgain(t *Token, full time.Duration, now time.Time, r float64) time.Time {
	again := lastMinutes(t, full, r)
	if soon := now.Add(max(t.DiesAt.Sub(now)/4, t.Life()/240, time.Second)); soon.After(again) {
		return soon
	}
	return again
}

// backoff returns how long to wait after so many failures in a row, for a token
// of that life: 1, 5, 20, then 75 to 105 seconds, by r within [0, 1).
func backoff(failures int, life time.Duration, r float64) time.Duration {
	steps := []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}
	d := 75*time.Second + time.Duration(r*float64(30*time.Second))
	if failures <= len(steps) {
		d = steps[max(failures, 1)-1]
	}
	return max(share(d, life), time.Second)
}

// queue is a heap of entries by due time. It is guarded by Broker.mu.
type queue struct{ entries []*entry }

func (q *queue) Len() int           { return len(q.entries) }
func (q *queue) Less(i, j int) bool { return q.entries[i].due.Before(q.entries[j].due) }
func (q *queue) Swap(i, j int) {
	q.entries[i], q.entries[j] = q.entries[j], q.entries[i]
	q.entries[i].index, q.entries[j].index = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index, e.queue = len(q.entries), q
	q.entries = append(q.entries, e)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(q.entries) - 1
	e := q.entries[last]
	q.entries[last] = nil
	q.entries = q.entries[:last]
	e.queue = nil
	return e
}

// next returns when the first entry is due, and false when there is none.
func (q *queue) next() (time.Time, bool) {
	if len(q.entries) == 0 {
		return time.Time{}, false
	}
	return q.entries[0].due, true
}

// place puts e where it belongs: urgent for those with waiting callers, which
// pass the rate limit. It takes it from wherever it waited, and wakes the scheduler.
// While a renewal of e is under way e is in no queue, else a second renewal would begin
// beside it; the end of the first tries e again. A dropped entry is not
// rescheduled; a new entry for the key may exist. Broker.mu is held.
func (b *Broker) place(e *entry, at time.Time, urgent bool) {
	b.unplace(e)
	if b.active[e.key] != e {
		return
	}
	if e.running {
		e.again = true
		return
	}
	b.wakeUp()
	e.due = at
	q := &b.ahead
	if urgent {
		q = &b.urgent
	}
	heap.Push(q, e)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unplace takes e out of its queue. Broker.mu is held.
func (b *Broker) unplace(e *entry) {
	if e.queue != nil {
		heap.Remove(e.queue, e.index)
	}
}

// want asks for a renewal of e as soon as its condition allows it, because
// somebody waits. Broker.mu is held.
func (b *Broker) want(e *entry) {
	if e.running {
		return
	}
	if e.blockedOn != nil {
		b.wantBlocker(e)
		return
	}
	at := e.cond.notBefore
	if e.queue == &b.urgent && !e.due.After(at) {
		return
	}
	b.place(e, at, true)
}

// tryAgain has e renewed now, as the cause of its trouble is said to be gone. A renewal
// under way may yet fail of that cause, so its end has it tried again. Broker.mu is held.
func (b *Broker) tryAgain(e *entry, now time.Time, urgent bool) {
	if e.running {
		e.again = true
		return
	}
	if e.blockedOn != nil {
		b.unblock(e)
	}
	b.turn(e, event{what: happenedReset, alive: b.sound(e, now) != nil}, now)
	b.place(e, now, urgent)
}

// wantBlocker passes the wish on to the key that e waits for. Broker.mu is held.
func (b *Broker) wantBlocker(e *entry) {
	b.want(e.blockedOn)
}

// wakeUp makes the scheduler look again. It never blocks.
func (b *Broker) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// schedule is the one loop that starts renewals. It returns when ctx ends and
// all renewals have ended.
func (b *Broker) schedule(ctx context.Context) {
	// A timer does not run while the machine sleeps, so none is trusted for longer.
	const longest = 30 * time.Second
	timer := time.NewTimer(longest)
	defer timer.Stop()
	defer b.renewals.Wait()
	for {
		timer.Reset(min(b.dispatch(ctx), longest))
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-timer.C:
		}
	}
}

// never is how long the scheduler waits where something else is sure to wake it.
const never = time.Hour

// dispatch starts what is due and allowed, and returns after how long it is to
// be called again unless something wakes it.
func (b *Broker) dispatch(ctx context.Context) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused {
		return never
	}
	now := b.clock.Now()
	urgent := b.dispatchFrom(ctx, &b.urgent, now)
	return min(urgent, b.dispatchFrom(ctx, &b.ahead, now))
}

// urgentWorkers is how many times Options.Workers may run at once while somebody
// waits for them. WeChat may take ten seconds to answer for some accounts; a caller
// waits for half of that, and must not spend it behind those.
const urgentWorkers = 8

// dispatchFrom starts what is due in q, and returns when the next will be. While as many
// run as may, that is no matter: the end of one wakes the scheduler. Broker.mu is held.
func (b *Broker) dispatchFrom(ctx context.Context, q *queue, now time.Time) time.Duration {
	most := b.opts.Workers
	if q == &b.urgent {
		most *= urgentWorkers
	}
	for b.running < most {
		at, ok := q.next()
		if !ok {
			return never
		}
		if wait := at.Sub(now); wait > 0 {
			return wait
		}
		e := q.entries[0]
		if q == &b.ahead && b.idle(e, now) {
			b.drop(e)
			continue
		}
		// Urgent ones take from the limit as well, so that those ahead make room,
		// but do not wait for it.
		if !b.limiter.AllowN(now, 1) && q == &b.ahead {
			return b.untilAllowed(now)
		}
		b.start(ctx, e, now)
	}
	return never
}

// untilAllowed returns how long it is from now until the limit has room again. It is
// not a whole interval each time: the ends of renewals wake the loop, and each would
// put off the next start once more.
func (b *Broker) untilAllowed(now time.Time) time.Duration {
	missing := 1 - b.limiter.TokensAt(now)
	return max(time.Duration(missing/b.opts.Rate*float64(time.Second)), time.Millisecond)
}

// start begins a renewal of e. Broker.mu is held.
func (b *Broker) start(ctx context.Context, e *entry, now time.Time) {
	b.unplace(e)
	e.running = true
	e.again = false
	e.cond = transition(e.cond, event{what: happenedDue, alive: e.token.Load().Alive(now)}, now)
	b.running++
	b.renewals.Add(1)
	go b.renew(ctx, e)
}

// idle reports whether nobody has called e for two of its lives. Broker.mu is held.
func (b *Broker) idle(e *entry, now time.Time) bool {
	if e.permanent || e.waiters > 0 || e.cond.trouble == StateNeedsAuthorization {
		return false
	}
	if b.unsaved[e.key] != nil {
		return false // memory has what the store has not
	}
	return now.Sub(e.lastUsed()) > 2*e.life()
}

// drop forgets an entry that is in use no longer; the store still has its record,
// and the next call brings it back. Broker.mu is held.
func (b *Broker) drop(e *entry) {
	b.unplace(e)
	if e.blockedOn != nil {
		b.unblock(e)
	}
	delete(b.active, e.key)
	// Nobody else would: what is forgotten gets no token.
	b.free(e)
	if b.unsaved[e.key] != nil { // of what is no longer configured
		delete(b.unsaved, e.key)
		b.metrics.Unsaved(len(b.unsaved))
	}
	b.cache.forget(e)
	e.announce() // who waits for it asks again
}
