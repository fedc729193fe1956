package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// DeadLetter is an event that could not be delivered. Its text stays in the store.
type DeadLetter struct {
	Event
	// Added is when it was added, Died when it was given up, and Reason why.
	Added, Died time.Time
	Reason      string
}

// deadLetter is a DeadLetter and its record.
type deadLetter struct {
	DeadLetter
	name    string
	version store.Version
	size    int64
}

func newDeadLetter(r *record, name string, v store.Version, size int64) deadLetter {
	d := DeadLetter{Event: r.event(), Added: time.UnixMilli(r.Added), Died: time.UnixMilli(r.Died), Reason: r.Reason}
	d.Text = secret.Text{} // many may be kept
	return deadLetter{d, name, v, size}
}

// DeadLetters returns the events that could not be delivered, without their texts, the oldest
// first. The caller owns them.
func (o *Outbox) DeadLetters() []DeadLetter {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]DeadLetter, len(o.dead))
	for i, d := range o.dead {
		list[i] = d.DeadLetter
	}
	return list
}

// bury makes an item that waits a dead letter.
func (o *Outbox) bury(ctx context.Context, it *item, reason string) error {
	return it.save(func() error {
		o.mu.Lock()
		over, r, base := it.over, it.record(), it.version
		o.mu.Unlock()
		if over {
			return nil
		}
		r.Died, r.Reason = o.Now().UnixMilli(), reason
		w, err := o.put(r.name(deadPrefix), store.Version{}, r)
		if err != nil {
			return err
		}
		gone, err := o.write(ctx, it, deletion(it.name, base), w)
		if err != nil {
			return err
		}
		o.Metrics.OutboxEvent("dead")
		o.Log.Error("an event is given up; SIGHUP has it tried again", append(it.about(), "added", it.added.UTC(), "error", reason)...)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.endLocked(it)
		if gone && o.sharing.store != nil { // another sidecar may have delivered it
			o.markLocked(w.Name)
			return nil
		}
		o.addDeadLocked(newDeadLetter(r, w.Name, w.Record.Version(), sizeOf(w)))
		return nil
	})
}

func (o *Outbox) addDeadLocked(d deadLetter) {
	i, known := o.findDeadLocked(d.name)
	if known {
		return // Follow was faster
	}
	o.dead = slices.Insert(o.dead, i, d)
	o.size += d.size
}

// findDeadLocked returns where the dead letter of that name is, or is to come, and whether it is there.
func (o *Outbox) findDeadLocked(name string) (int, bool) {
	return slices.BinarySearchFunc(o.dead, name, func(d deadLetter, name string) int { return strings.Compare(d.name, name) })
}

// Redeliver queues the dead letters again, the oldest first and behind what waits, as if they
// were new. It returns how many, and the error at which it stopped. Calls wait for each other, so
// that they keep the order.
func (o *Outbox) Redeliver(ctx context.Context) (int, error) {
	o.redelivers.Lock()
	defer o.redelivers.Unlock()
	for n := 0; ; n++ {
		d, ok := o.takeDead(func(*deadLetter) bool { return true })
		if !ok {
			return n, nil
		}
		if err := o.redeliver(ctx, d); err != nil {
			o.putBackDead(d)
			return n, fmt.Errorf("queue the event %s again: %w", d.ID, err)
		}
	}
}

// takeDead takes out the oldest dead letter that matches.
func (o *Outbox) takeDead(match func(*deadLetter) bool) (deadLetter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.dead {
		if d := o.dead[i]; match(&d) {
			o.dead = slices.Delete(o.dead, i, i+1)
			o.size -= d.size
			return d, true
		}
	}
	return deadLetter{}, false
}

func (o *Outbox) putBackDead(d deadLetter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.addDeadLocked(d)
}

func (o *Outbox) redeliver(ctx context.Context, d deadLetter) error {
	has, err := o.Store.Get(ctx, d.name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // an earlier change is in, and its answer was lost; the next start delivers it
	case err != nil:
		return err
	}
	r, err := o.decode(store.Named{Name: d.name, Record: has})
	if err != nil {
		return err
	}
	if o.waits(r.ID) { // WeChat has pushed it again
		return o.Store.Put(ctx, deletion(d.name, has.Version()))
	}
	r.Died, r.Reason = 0, ""
	if o.sharing.store != nil {
		return o.redeliverShared(ctx, r, d)
	}
	r.Added = o.next()
	w, err := o.put(r.name(waitingPrefix), store.Version{}, r)
	if err != nil {
		return err
	}
	if err := o.Store.Put(ctx, deletion(d.name, has.Version()), w); err != nil {
		return err
	}
	o.admit(newItem(r, w.Name, w.Record.Version(), sizeOf(w)), 0)
	return nil
}

// RedeliverOne queues the dead letter of that event again, and reports whether there was one.
func (o *Outbox) RedeliverOne(ctx context.Context, id string) (bool, error) {
	o.redelivers.Lock()
	defer o.redelivers.Unlock()
	d, ok := o.takeDead(func(d *deadLetter) bool { return d.ID == id })
	if !ok {
		return false, nil
	}
	if err := o.redeliver(ctx, d); err != nil {
		o.putBackDead(d)
		return false, fmt.Errorf("queue the event %s again: %w", d.ID, err)
	}
	return true, nil
}
