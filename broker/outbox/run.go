package outbox

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const (
	// attemptTimeout bounds one delivery, storeTimeout one change of the store.
	attemptTimeout = 10 * time.Second
	storeTimeout   = 5 * time.Second
	// stopGrace is how long a delivery may go on once Run is to end. One that is cut off
	// comes again with the same ID.
	stopGrace = 2 * time.Second
	// sweepInterval is how often events are looked at that no target wants.
	sweepInterval = time.Minute
	// patience is after how long a failure is the last.
	patience = 24 * time.Hour
)

// Run delivers what is due until ctx ends, and returns when no delivery is under way. Where the
// store is shared, it does so while no other sidecar does. It must be called once.
func (o *Outbox) Run(ctx context.Context) {
	var attempts, others sync.WaitGroup
	o.startSharing(ctx, &others)
	until, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	for ctx.Err() == nil {
		timer := time.NewTimer(o.startDue(func(a attempt) { attempts.Go(func() { o.try(until, a) }) }))
		select {
		case <-ctx.Done():
		case <-o.wake:
		case <-timer.C:
		case <-sweep.C:
			o.sweep(ctx)
		}
		timer.Stop()
	}
	defer time.AfterFunc(stopGrace, cancel).Stop()
	attempts.Wait()
	others.Wait()
	o.resign()
}

// startDue starts what is due, and returns after how long it is to be called again.
func (o *Outbox) startDue(start func(attempt)) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, wait := o.Now(), sweepInterval
	if !o.deliversLocked() {
		return wait // who makes it deliver wakes Run up
	}
	for _, q := range o.queues {
		for q.running < perTarget && len(q.due) > 0 {
			l := q.due[0]
			if left := l.due.Sub(now); left > 0 {
				wait = min(wait, left)
				break
			}
			it := l.items[0]
			if o.Hold != nil && o.Hold(&it.Event) {
				l.due = now.Add(holdPause(l.holds))
				l.holds++
				heap.Fix(&q.due, l.index)
				continue
			}
			heap.Pop(&q.due)
			q.running++
			start(attempt{lane: l, queue: q, item: it, target: o.targetLocked(l.target, it)})
		}
	}
	return wait
}

// sweep ends what no target is owed: what was done when the targets changed, and what has
// waited too long for one.
func (o *Outbox) sweep(ctx context.Context) {
	type end struct {
		*item
		dead bool
	}
	var ends []end
	o.mu.Lock()
	items := o.items
	if !o.deliversLocked() {
		items = nil
	}
	for _, it := range items {
		if len(o.owedLocked(it)) > 0 {
			continue
		}
		if done := len(it.had) > 0; done || o.Now().Sub(it.added) >= patience {
			ends = append(ends, end{it, !done})
		}
	}
	o.mu.Unlock()
	for _, e := range ends {
		var err error
		if e.dead {
			err = o.bury(ctx, e.item, "no target in events wants it")
		} else {
			err = o.settle(ctx, e.item)
		}
		if err != nil {
			o.Log.Error("cannot save what became of an event; trying again", "event", e.ID, "error", err)
			return
		}
	}
}
