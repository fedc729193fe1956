package outbox

import (
	"container/heap"
	"context"
	"errors"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// attempt is one attempt to deliver an item, the first of its lane.
type attempt struct {
	lane   *lane
	queue  *queue
	item   *item
	target Target
}

// try makes an attempt, and sees to what follows from it.
func (o *Outbox) try(ctx context.Context, a attempt) {
	err := o.deliver(ctx, a)
	switch {
	case err == nil:
		if err = o.markHad(ctx, a.item, a.lane.target); err != nil {
			o.Log.Error("cannot save that an event was delivered; trying again", append(a.item.about(), "error", err)...)
		}
	case ctx.Err() == nil:
		o.failed(ctx, a, err)
	}
	o.end(a, err)
}

// deliver hands the item to the target, unless an earlier attempt did and only could not save it.
func (o *Outbox) deliver(ctx context.Context, a attempt) error {
	if o.hasHad(a) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return a.target.Deliver(ctx, &a.item.Event)
}

func (o *Outbox) hasHad(a attempt) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return a.item.over || slices.Contains(a.item.had, a.lane.target)
}

// markHad notes that a target has the item, in memory and then in the store.
func (o *Outbox) markHad(ctx context.Context, it *item, target string) error {
	if o.noteHad(it, target) {
		o.Metrics.OutboxDelivery("delivered")
	}
	if err := o.settle(ctx, it); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removeLocked(it, target)
	return nil
}

// noteHad reports whether this is the first note of it.
func (o *Outbox) noteHad(it *item, target string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if it.over || slices.Contains(it.had, target) {
		return false
	}
	it.had = append(it.had, target)
	return true
}

// settle saves who has the item, and ends it if nobody is owed it.
func (o *Outbox) settle(ctx context.Context, it *item) error {
	return it.save(func() error {
		o.mu.Lock()
		over, r, base, done := it.over, it.record(), it.version, len(o.owedLocked(it)) == 0
		o.mu.Unlock()
		if over {
			return nil
		}
		if done {
			if err := o.noteDone(ctx, it.ID); err != nil {
				return err
			}
		}
		w := deletion(it.name, base)
		if !done {
			var err error
			if w, err = o.put(it.name, base, r); err != nil {
				return err
			}
		}
		gone, err := o.write(ctx, it, w)
		if err != nil {
			return err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		it.version = w.Record.Version()
		if done || gone {
			o.endLocked(it)
		}
		return nil
	})
}

// endLocked takes an item that is done or dead out of the outbox.
func (o *Outbox) endLocked(it *item) {
	if it.over {
		return
	}
	it.over = true
	o.size -= it.size
	delete(o.items, it.ID)
	o.touchLocked(it.name)
	for target := range o.queues {
		o.removeLocked(it, target)
	}
}

// write changes the item's record. Where the answer to an earlier change was lost, or another
// sidecar made one, it fails, and the next one knows what the store has. It succeeds as well
// where the record is gone: the earlier change was its end.
func (o *Outbox) write(ctx context.Context, it *item, writes ...store.Write) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err = o.Store.Put(ctx, writes...)
	if !errors.Is(err, store.ErrConflict) {
		return false, err
	}
	has, getErr := o.Store.Get(ctx, it.name)
	switch {
	case errors.Is(getErr, store.ErrNotFound):
		return true, nil
	case getErr == nil:
		o.merge(it, has)
	}
	return false, err
}

// failed sees to what follows from a failure of the target.
func (o *Outbox) failed(ctx context.Context, a attempt, err error) {
	o.Metrics.OutboxDelivery("failed")
	o.noteFailure(a, err)
	if o.Now().Sub(a.item.added) < patience {
		return
	}
	if err := o.bury(ctx, a.item, err.Error()); err != nil {
		o.Log.Error("cannot save a dead letter; trying again", append(a.item.about(), "error", err)...)
	}
}

// noteFailure logs the first failure of a target since it last took an event, and each new cause.
// A target whose causes alternate is not logged more often than the pauses of attempts grow.
func (o *Outbox) noteFailure(a attempt, err error) {
	about := append(a.item.about(), "target", a.target.String(), "error", err)
	if o.isNews(a.queue, err.Error()) {
		o.Log.Warn("an event could not be delivered; it is tried again for 24 hours", about...)
		return
	}
	o.Log.Debug("an event could not be delivered", about...)
}

// isNews reports whether a failure is to be logged, and notes that it is.
func (o *Outbox) isNews(q *queue, cause string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.Now()
	if q.warnings > 0 && (cause == q.cause || now.Sub(q.warned) < pauseAfter(q.warnings)) {
		return false
	}
	q.warnings++
	q.cause, q.warned = cause, now
	return true
}

// end gives the attempt's place free and puts its lane back.
func (o *Outbox) end(a attempt, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q, l := a.queue, a.lane
	q.running--
	l.due = o.Now()
	if err == nil {
		if q.warnings > 0 {
			o.Log.Info("events are delivered again", "target", a.target.String())
		}
		q.warnings = 0
	} else if len(l.items) > 0 && l.items[0] == a.item {
		l.failures++
		l.due = l.due.Add(pauseAfter(l.failures))
	}
	heap.Push(&q.due, l)
	q.dropIfEmpty(l)
	o.dropQueueLocked(l.target)
	o.wakeUp()
}

// about is what logs say of an event.
func (e *Event) about() []any {
	return []any{"event", e.ID, "component", e.Component, "appid", e.AppID, "info_type", e.InfoType}
}
