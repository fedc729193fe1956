package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	// orderName is the record whose generation is the latest record.Added of all sidecars. Each
	// write of an event writes it too, so that their order is one, whatever their clocks say.
	orderName = "outbox/last"
	// claimFor is how long an event that an app has is remembered, so that a repeat which comes
	// to another sidecar is not added again.
	claimFor = patience + time.Hour
)

// What is remembered of an event: that it may have been added, and that it is done.
var claimed, done = []byte("claimed"), []byte("done")

func claimName(id string) string { return "outbox/" + id }

// waitingName returns the name under which r waits. For several sidecars it is the same for a
// repeat, so that the store takes one of them.
func (o *Outbox) waitingName(r *record) string {
	if o.sharing.store == nil {
		return r.name(waitingPrefix)
	}
	return waitingPrefix + r.ID
}

// addShared makes the record of an event durable, unless another sidecar did or has delivered it.
func (o *Outbox) addShared(ctx context.Context, r *record, reserved store.Write, victims []deadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p, err := o.place(ctx, r, victims, false)
	for _, v := range victims {
		o.mark(v.name)
	}
	if err != nil || !p.new {
		o.unreserve(reserved, victims)
		o.notPlaced(reserved.Name, p)
	}
	if err != nil {
		return fmt.Errorf("keep the event for delivery: %w", err)
	}
	if p.new {
		o.noteAdded(p.removed)
		o.admitShared(r, p, sizeOf(reserved))
	}
	return nil
}

// placed is what became of a record.
type placed struct {
	new     bool // false where the event waits already, or is done
	done    bool // an app has it already
	write   store.Write
	behind  int64 // the record.Added before it
	removed []deadLetter
}

// place makes r durable behind all that any sidecar added, and takes dead letters out. It does
// nothing for a record that waits or was delivered, but for again, which is for a dead letter: there
// it does nothing where one of those to take out is not there any more.
func (o *Outbox) place(ctx context.Context, r *record, remove []deadLetter, again bool) (placed, error) {
	names := []string{orderName, o.waitingName(r)}
	for _, d := range remove {
		names = append(names, d.name)
	}
	o.beginPlacing(names[1])
	for {
		found, err := o.versions(ctx, names)
		if err != nil {
			return placed{}, err
		}
		p := placed{new: found[names[1]] == store.Version{}, behind: int64(found[orderName].Generation)}
		var writes []store.Write
		for _, d := range remove {
			if v, ok := found[d.name]; ok {
				p.removed = append(p.removed, d)
				writes = append(writes, deletion(d.name, v))
			}
		}
		if !p.new || again && len(p.removed) < len(remove) {
			return placed{}, nil
		}
		if !again {
			// After the look for the record: who delivers an event notes that before its record goes.
			if done, err := o.claim(ctx, r.ID); done || err != nil {
				return placed{done: done}, err
			}
		}
		r.Added = max(p.behind+1, o.next())
		if p.write, err = o.put(names[1], store.Version{}, r); err != nil {
			return placed{}, err
		}
		err = o.Store.Put(ctx, append(writes, p.write, o.order(found[orderName], r.Added))...)
		if !errors.Is(err, store.ErrConflict) {
			return p, err
		}
	}
}

// claim remembers that an event may have been added, and reports whether it is done already.
func (o *Outbox) claim(ctx context.Context, id string) (bool, error) {
	kept, _, err := o.sharing.store.Remember(ctx, claimName(id), claimed, claimFor)
	return string(kept) == string(done), err
}

func (o *Outbox) beginPlacing(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sharing.placing[name] = false
}

// order returns the write of the latest record.Added.
func (o *Outbox) order(base store.Version, added int64) store.Write {
	next := uint64(added)
	return store.Write{Name: orderName, Base: base, Record: store.Record{Generation: next, Sealed: o.Seal.Seal(orderName, next, nil)}}
}

// versions returns the versions of those of the records that there are.
func (o *Outbox) versions(ctx context.Context, names []string) (map[string]store.Version, error) {
	all, err := o.Store.GetAll(ctx, names)
	if err != nil {
		return nil, err
	}
	found := make(map[string]store.Version, len(all))
	for _, named := range all {
		found[named.Name] = named.Version()
	}
	return found, nil
}

// admitShared queues what was placed. Where others were placed before it that are not known yet,
// they have to come first, and where something was heard of it already, the store knows better.
func (o *Outbox) admitShared(r *record, p placed, reserved int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, name := &o.sharing, p.write.Name
	heard, ok := s.placing[name]
	delete(s.placing, name)
	o.size -= reserved
	o.last = max(o.last, r.Added)
	if heard || !ok || o.items[r.ID] != nil {
		o.compareAllLocked()
		return
	}
	switch {
	case p.behind <= s.seen:
		s.seen = r.Added
	case s.lease != nil:
		o.compareAllLocked()
	}
	o.touchLocked(name)
	o.queueLocked(newItem(r, name, p.write.Record.Version(), sizeOf(p.write)))
}

// notPlaced has the store asked of a record that was not placed, or whose answer was lost. One of an
// event that is done goes, and nothing is missing before it: repeats must not cost more than a look.
func (o *Outbox) notPlaced(name string, p placed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sharing.placing, name)
	if p.done {
		o.markLocked(name)
	} else {
		o.markUntoldLocked(name)
	}
}

// redeliverShared queues a dead letter again, unless another sidecar did.
func (o *Outbox) redeliverShared(ctx context.Context, r *record, d deadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p, err := o.place(ctx, r, []deadLetter{d}, true)
	o.mark(d.name)
	if p.new && err == nil {
		o.admitShared(r, p, 0)
	} else {
		o.notPlaced(o.waitingName(r), p)
	}
	return err
}

// noteDone remembers that an event is done, before its record is gone.
func (o *Outbox) noteDone(ctx context.Context, id string) error {
	if o.sharing.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	_, err := o.sharing.store.Replace(ctx, claimName(id), claimed, done, claimFor)
	return err
}

func sizeOfNamed(n store.Named) int64 { return int64(len(n.Name) + len(n.Sealed)) }
