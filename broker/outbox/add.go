package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Add makes e durable for the targets that want it, and returns nil once it is, or if none does. One
// that waits already is not added again. The error wraps [ErrFull] at the bound. Calls at the same
// time must have different IDs.
func (o *Outbox) Add(ctx context.Context, e Event) error {
	r, victims, w, err := o.reserve(&e)
	if r == nil || err != nil {
		return err
	}
	if o.sharing.store != nil {
		return o.addShared(ctx, r, w, victims)
	}
	if err := o.insert(ctx, r, w, victims); err != nil {
		return fmt.Errorf("keep the event for delivery: %w", err)
	}
	o.noteAdded(victims)
	o.admit(newItem(r, w.Name, w.Record.Version(), sizeOf(w)), sizeOf(w))
	return nil
}

// noteAdded counts an event, and what made room for it.
func (o *Outbox) noteAdded(victims []deadLetter) {
	o.Metrics.OutboxEvent("added")
	for _, v := range victims {
		o.Metrics.OutboxEvent("dropped")
		o.Log.Error("a dead letter is dropped to make room for newer events", append(v.about(), "setting", "limits.outbox")...)
	}
}

// insert makes the record of an event durable in the place of victims, and of one that an earlier
// Add of the event may have left. If it fails it undoes reserve.
func (o *Outbox) insert(ctx context.Context, r *record, w store.Write, victims []deadLetter) error {
	writes := []store.Write{w}
	for _, v := range victims {
		writes = append(writes, deletion(v.name, v.version))
	}
	left, err := o.leftBehind(ctx, r.ID)
	if err == nil {
		err = o.Store.Put(ctx, append(writes, left...)...)
	}
	if errors.Is(err, store.ErrConflict) {
		victims = o.stored(ctx, victims)
	}
	if err != nil {
		o.unreserve(w, victims)
	}
	o.noteUnanswered(r.ID, w.Name, err)
	return err
}

// maxUnanswered bounds the events that are remembered while the store fails.
const maxUnanswered = 1024

// noteUnanswered remembers the name of a record that may be in the store, though its Put failed.
func (o *Outbox) noteUnanswered(id, name string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
		delete(o.unanswered, id)
	case len(o.unanswered) < maxUnanswered:
		o.unanswered[id] = append(o.unanswered[id], name)
	}
}

// leftBehind returns the deletions of the records that unanswered Puts of the event left. The next
// start would deliver one after events that came later.
func (o *Outbox) leftBehind(ctx context.Context, id string) ([]store.Write, error) {
	o.mu.Lock()
	names := slices.Clone(o.unanswered[id])
	o.mu.Unlock()
	var writes []store.Write
	for _, name := range names {
		has, err := o.Store.Get(ctx, name)
		switch {
		case err == nil:
			writes = append(writes, deletion(name, has.Version()))
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return writes, nil
}

// stored returns those of the dead letters that the store may have. The others made room already,
// by a Put whose answer was lost; every later one that counts on them would fail.
func (o *Outbox) stored(ctx context.Context, list []deadLetter) []deadLetter {
	return slices.DeleteFunc(list, func(d deadLetter) bool {
		_, err := o.Store.Get(ctx, d.name)
		return errors.Is(err, store.ErrNotFound)
	})
}

// admit queues an item whose record is durable, and for which reserved bytes are counted already.
func (o *Outbox) admit(it *item, reserved int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size -= reserved
	o.queueLocked(it)
}

// queueLocked takes an item in.
func (o *Outbox) queueLocked(it *item) {
	o.items[it.ID] = it
	o.size += it.size
	o.enqueueLocked(it)
	o.wakeUp()
}

// reserve takes room for e, that of the oldest dead letters if need be. It returns no record for
// an event that need not be added.
func (o *Outbox) reserve(e *Event) (*record, []deadLetter, store.Write, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.items[e.ID] != nil || !slices.ContainsFunc(o.targets, func(t Target) bool { return t.Wants(e) }) {
		return nil, nil, store.Write{}, nil
	}
	r := &record{ID: e.ID, Component: e.Component, AppID: e.AppID, InfoType: e.InfoType, Text: e.Text.Reveal(), Added: o.nextLocked()}
	w, err := o.put(o.waitingName(r), store.Version{}, r)
	if err != nil {
		return nil, nil, store.Write{}, err
	}
	victims, err := o.makeRoomLocked(sizeOf(w))
	if err != nil {
		o.Metrics.OutboxEvent("full")
		return nil, nil, store.Write{}, err
	}
	o.size += sizeOf(w)
	return r, victims, w, nil
}

// unreserve undoes reserve.
func (o *Outbox) unreserve(w store.Write, victims []deadLetter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size -= sizeOf(w)
	for _, v := range victims {
		o.addDeadLocked(v)
	}
}

// makeRoomLocked takes as many of the oldest dead letters out as it needs for size more bytes.
func (o *Outbox) makeRoomLocked(size int64) ([]deadLetter, error) {
	need, n := o.size+size-o.Limit, 0
	for need > 0 {
		if n == len(o.dead) {
			return nil, fmt.Errorf("%w: limits.outbox is %d bytes; see why the targets in events do not take what waits", ErrFull, o.Limit)
		}
		need -= o.dead[n].size
		n++
	}
	victims := slices.Clone(o.dead[:n])
	o.dead = slices.Delete(o.dead, 0, n)
	for _, v := range victims {
		o.size -= v.size
	}
	return victims, nil
}

func (o *Outbox) waits(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.items[id] != nil
}

func (o *Outbox) next() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nextLocked()
}

// nextLocked returns the present as a record.Added that no other record has.
func (o *Outbox) nextLocked() int64 {
	o.last = max(o.last+1, o.Now().UnixMilli())
	return o.last
}
