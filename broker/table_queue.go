package broker

import (
	"container/heap"
	"context"
	"time"
)

// queued is the place of an entry in a queue.
type queued struct {
	due   instant
	in    *queue // nil for nowhere
	index int
}

// queue is a heap of entries by due time. It is the table's, and guarded by its lock.
type queue struct{ entries []*entry }

func (q *queue) Len() int { return len(q.entries) }
func (q *queue) Less(i, j int) bool {
	return q.entries[i].queued.due < q.entries[j].queued.due
}

func (q *queue) Swap(i, j int) {
	q.entries[i], q.entries[j] = q.entries[j], q.entries[i]
	q.entries[i].queued.index, q.entries[j].queued.index = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.queued.index, e.queued.in = len(q.entries), q
	q.entries = append(q.entries, e)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(q.entries) - 1
	e := q.entries[last]
	q.entries[last] = nil
	q.entries = q.entries[:last]
	e.queued.in = nil
	return e
}

// next returns when the first entry is due, and false when there is none.
func (q *queue) next() (time.Time, bool) {
	if len(q.entries) == 0 {
		return time.Time{}, false
	}
	return q.entries[0].queued.due.time(), true
}

// scheduleLocked has e renewed at a time, and at no other. Urgent ones, which somebody
// waits for, pass the rate limit. While a renewal of e is under way it only notes that e
// is to be tried again. A dropped entry is not rescheduled; a new entry for the key may
// exist.
func (t *table) scheduleLocked(e *entry, at time.Time, urgent bool) {
	unscheduleLocked(e)
	if t.entries.find(e.key) != e {
		return
	}
	if e.renewal.running {
		e.renewal.again = true
		return
	}
	t.wakeUp()
	e.queued.due = instantOf(at)
	q := &t.ahead
	if urgent {
		q = &t.urgent
	}
	heap.Push(q, e)
}

// unscheduleLocked takes e out of its queue.
func unscheduleLocked(e *entry) {
	if e.queued.in != nil {
		heap.Remove(e.queued.in, e.queued.index)
	}
}

// requestLocked asks for a renewal of e, or of the key that it waits for, as soon as the
// condition allows it: somebody waits.
func (t *table) requestLocked(e *entry) {
	e = e.rootLocked()
	if e.renewal.running {
		return
	}
	at := e.cond.notBefore
	if e.queued.in == &t.urgent && e.queued.due <= at {
		return
	}
	t.scheduleLocked(e, at.time(), true)
}

// renewAhead has a key renewed now, although nobody waits, unless a renewal is under way
// or the key's trouble has a pace of its own.
func (t *table) renewAhead(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil && !e.renewal.running && e.cond.trouble == StateUnknown {
		t.scheduleLocked(e, t.clock.Now(), e.queued.in == &t.urgent)
	}
}

// wakeUp makes the scheduler look again. It never blocks.
func (t *table) wakeUp() { notify(t.wake) }

// schedule is the one loop that starts renewals. It returns when ctx ends.
func (t *table) schedule(ctx context.Context) {
	// A timer does not run while the machine sleeps, so none is trusted for longer.
	const longest = 30 * time.Second
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for {
		timer.Reset(min(t.dispatch(ctx), longest))
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
	}
}

// never is how long the scheduler waits where something else is sure to wake it.
const never = time.Hour

// dispatch starts what is due and allowed, and returns after how long it is to
// be called again unless something wakes it.
func (t *table) dispatch(ctx context.Context) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outage.paused {
		return never
	}
	now := t.clock.Now()
	urgent := t.dispatchLocked(ctx, &t.urgent, now)
	return min(urgent, t.dispatchLocked(ctx, &t.ahead, now))
}

// urgentWorkers is how many times Options.Workers may run at once while somebody
// waits for them. WeChat may take ten seconds to answer for some accounts; a caller
// waits for half of that, and must not spend it behind those.
const urgentWorkers = 8

// dispatchLocked starts what is due in q, and returns when the next will be. While as
// many run as may, that is no matter: the end of one wakes the scheduler.
func (t *table) dispatchLocked(ctx context.Context, q *queue, now time.Time) time.Duration {
	most := t.workers
	if q == &t.urgent {
		most *= urgentWorkers
	}
	for t.running < most {
		at, ok := q.next()
		if !ok {
			return never
		}
		if wait := at.Sub(now); wait > 0 {
			return wait
		}
		e := q.entries[0]
		if q == &t.ahead && t.idleLocked(e, now) {
			t.dropLocked(e)
			continue
		}
		// Urgent ones take from the limit as well, so that those ahead make room,
		// but do not wait for it.
		if !t.limiter.AllowN(now, 1) && q == &t.ahead {
			return t.untilAllowed(now)
		}
		t.startLocked(ctx, e, now)
	}
	return never
}

// untilAllowed returns how long it is from now until the limit has room again. It is
// not a whole interval each time: the ends of renewals wake the loop, and each would
// put off the next start once more.
func (t *table) untilAllowed(now time.Time) time.Duration {
	missing := 1 - t.limiter.TokensAt(now)
	return max(time.Duration(missing/t.perSecond*float64(time.Second)), time.Millisecond)
}

func (t *table) startLocked(ctx context.Context, e *entry, now time.Time) {
	unscheduleLocked(e)
	e.renewal = activity{running: true, waiters: e.renewal.waiters}
	e.cond = transition(e.cond, event{kind: eventDue, alive: e.token.Load().Alive(now)}, now)
	t.running++
	t.renew(ctx, e)
}

// renewing reports whether a renewal of key is under way.
func (t *table) renewing(key Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	return e != nil && e.renewal.running
}

// notify puts an element into a channel of capacity 1 unless there is one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
