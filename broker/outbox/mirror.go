package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// read makes the outbox like the store in one record.
func (o *Outbox) read(ctx context.Context, name string) error {
	it := o.beginReading(name)
	if it == nil {
		return o.readAgain(ctx, name)
	}
	// No change of its own is under way then, after which what is read would be old.
	return it.save(func() error { return o.readAgain(ctx, name) })
}

// beginReading returns the item of that record; nil where none is known.
func (o *Outbox) beginReading(name string) *item {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sharing.reading, o.sharing.again = name, false
	return o.itemNamedLocked(name)
}

func (o *Outbox) itemNamedLocked(name string) *item {
	const digits = 13 // of a name that begins with a time
	id := strings.TrimPrefix(name, waitingPrefix)
	if it := o.items[id]; it != nil && it.name == name {
		return it
	}
	if len(id) > digits {
		if it := o.items[id[digits+1:]]; it != nil && it.name == name {
			return it
		}
	}
	return nil
}

// readAgain reads until nothing changed meanwhile.
func (o *Outbox) readAgain(ctx context.Context, name string) error {
	for {
		has, err := o.Store.Get(ctx, name)
		gone := errors.Is(err, store.ErrNotFound)
		if err != nil && !gone {
			return err
		}
		var r *record
		if !gone {
			var ok bool
			if r, ok = o.open(store.Named{Name: name, Record: has}); !ok {
				return nil
			}
		}
		if o.mirror(store.Named{Name: name, Record: has}, r) {
			return nil
		}
	}
}

// mirror takes in a record; r is nil where there is none. It reports false for what may be old.
func (o *Outbox) mirror(named store.Named, r *record) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &o.sharing
	if s.again {
		s.again = false
		return false
	}
	s.reading = ""
	o.touchLocked(named.Name)
	if strings.HasPrefix(named.Name, deadPrefix) {
		o.mirrorDeadLocked(named, r)
	} else {
		o.mirrorWaitingLocked(named, r)
	}
	return true
}

func (o *Outbox) mirrorDeadLocked(named store.Named, r *record) {
	if i, known := o.findDeadLocked(named.Name); known {
		o.size -= o.dead[i].size
		o.dead = slices.Delete(o.dead, i, i+1)
	}
	if r != nil {
		o.addDeadLocked(newDeadLetter(r, named.Name, named.Version(), sizeOfNamed(named)))
	}
}

func (o *Outbox) mirrorWaitingLocked(named store.Named, r *record) {
	if it := o.itemNamedLocked(named.Name); it != nil && (r == nil || !o.mergeLocked(it, named.Version(), r)) {
		o.endLocked(it) // or it was added anew since
	}
	if r == nil {
		return
	}
	o.last, o.sharing.seen = max(o.last, r.Added), max(o.sharing.seen, r.Added)
	if o.items[r.ID] == nil {
		o.queueLocked(newItem(r, named.Name, named.Version(), sizeOfNamed(named)))
	}
}

// merge takes in what another sidecar, or an earlier change, wrote of an item.
func (o *Outbox) merge(it *item, has store.Record) {
	r, err := o.decode(store.Named{Name: it.name, Record: has})
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil:
		it.version = has.Version()
	case !o.mergeLocked(it, has.Version(), r): // it was done, and added anew since
		o.endLocked(it)
		o.markUntoldLocked(it.name)
	}
}

// mergeLocked reports whether r is of that item. What a target has it has, whoever wrote it.
func (o *Outbox) mergeLocked(it *item, v store.Version, r *record) bool {
	if it.added.UnixMilli() != r.Added {
		return false
	}
	it.version = v
	for _, target := range r.Had {
		if !slices.Contains(it.had, target) {
			it.had = append(it.had, target)
			o.removeLocked(it, target)
		}
	}
	return true
}

// restore puts back what a store that was emptied has lost. All sidecars do, as none is sure to
// know of everything that another one acknowledged.
func (o *Outbox) restore(ctx context.Context) error {
	o.mu.Lock()
	emptied := o.sharing.emptied
	o.sharing.emptied = false
	o.mu.Unlock()
	if !emptied {
		return nil
	}
	err := o.putBack(ctx, func(*item) bool { return true })
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sharing.emptied = true
	}
	return err
}

// putBack writes the items that are chosen and that the store does not have.
func (o *Outbox) putBack(ctx context.Context, chosen func(*item) bool) error {
	o.mu.Lock()
	items := slices.DeleteFunc(o.sortedLocked(), func(it *item) bool { return !chosen(it) })
	o.mu.Unlock()
	for _, it := range items {
		if err := o.putItemBack(ctx, it); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) putItemBack(ctx context.Context, it *item) error {
	return it.save(func() error {
		o.mu.Lock()
		over, r := it.over, it.record()
		o.mu.Unlock()
		if over {
			return nil
		}
		w, err := o.put(it.name, store.Version{}, r)
		if err != nil {
			return err
		}
		if err = o.Store.Put(ctx, w); errors.Is(err, store.ErrConflict) {
			o.mark(it.name) // it has it
			return nil
		}
		if err != nil {
			return err
		}
		o.Log.Warn("an event that the store had lost is put back", it.about()...)
		o.mu.Lock()
		defer o.mu.Unlock()
		it.version = w.Record.Version()
		return nil
	})
}
