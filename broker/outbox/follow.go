package outbox

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// behind is what the outbox knows to be unlike the store.
type behind struct {
	// names are those of records to read, in the order of their changes; marked has them too.
	names  []string
	marked map[string]bool
	// all asks for a comparison of everything, and emptied for what the store has lost.
	// comparing says that what such a comparison found is still being read.
	all, emptied, comparing bool
	// reading is the name of the record that is being read, and again that it changed meanwhile.
	reading string
	again   bool
	// placing has the names of records that are being placed, and whether something was heard of
	// one meanwhile: its writer may be the last to hear that it was written.
	placing map[string]bool
	// seen is the latest record.Added of any sidecar up to which nothing is missing.
	seen int64
}

// Follow takes news of the store, in order, as [store.Shared] tells it. It does not wait. Where
// the store is not shared there is none.
func (o *Outbox) Follow(n store.News) {
	if o.sharing.store == nil || n.Err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if n.Emptied {
		o.sharing.emptied = true
		o.sharing.lease = nil // it is gone too, and another sidecar may have it
		if dead := len(o.dead); dead > 0 {
			o.Log.Error("dead letters are lost, as the store was emptied", "events", dead)
		}
	}
	if n.Missed || n.Emptied {
		o.compareAllLocked()
	}
	for _, c := range n.Changes {
		o.markLocked(c.Name)
	}
}

// compareAllLocked asks for a comparison of everything with the store.
func (o *Outbox) compareAllLocked() {
	o.sharing.all = true
	o.askLocked()
}

// markLocked asks for a record of the outbox to be read. Others are none of its business.
func (o *Outbox) markLocked(name string) {
	s := &o.sharing
	if s.store == nil || s.marked[name] || !strings.HasPrefix(name, waitingPrefix) && !strings.HasPrefix(name, deadPrefix) {
		return
	}
	s.marked[name] = true
	s.names = append(s.names, name)
	o.askLocked()
}

// markUntoldLocked asks for an event's record to be read that news has not told of, or not yet. What
// others added before it may not be known either, and who delivers has to know that first.
func (o *Outbox) markUntoldLocked(name string) {
	if o.sharing.lease != nil && o.itemNamedLocked(name) == nil {
		o.compareAllLocked()
		return
	}
	o.markLocked(name)
}

// mark is markLocked for those who hold nothing.
func (o *Outbox) mark(names ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range names {
		o.markLocked(name)
	}
}

func (o *Outbox) askLocked() {
	select {
	case o.sharing.news <- struct{}{}:
	default:
	}
}

// touchLocked says that a record is not what it was: what is known of it elsewhere may be old.
func (o *Outbox) touchLocked(name string) {
	s := &o.sharing
	if s.reading == name {
		s.again = true
	}
	if _, ok := s.placing[name]; ok {
		s.placing[name] = true
	}
}

// follow keeps the outbox like the store until ctx ends.
func (o *Outbox) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if err := o.catchUp(ctx); err != nil {
			o.Log.Debug("the store does not say what events wait; asking again", "error", err)
			wait(ctx, askAgain)
			continue
		}
		select {
		case <-ctx.Done():
		case <-o.sharing.news:
		}
	}
}

// catchUp reads what is not known.
func (o *Outbox) catchUp(ctx context.Context) error {
	if err := o.restore(ctx); err != nil {
		return err
	}
	if err := o.compareAll(ctx); err != nil {
		return err
	}
	for {
		name, ok := o.nextMarked()
		if !ok {
			return nil
		}
		if err := o.read(ctx, name); err != nil {
			o.unread(name)
			return err
		}
	}
}

// nextMarked returns the name of a record to read. Where there is none, all is known.
func (o *Outbox) nextMarked() (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &o.sharing
	if len(s.names) == 0 {
		if s.comparing && !s.all {
			s.comparing, s.settled = false, true
			o.wakeUp()
		}
		return "", false
	}
	name := s.names[0]
	s.names = s.names[1:]
	delete(s.marked, name)
	return name, true
}

// unread puts a name back to the front: what comes after it must not be known before.
func (o *Outbox) unread(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := &o.sharing; !s.marked[name] {
		s.marked[name] = true
		s.names = slices.Insert(s.names, 0, name)
	}
}

// compareAll marks what differs between the store and the outbox, if that was asked for.
func (o *Outbox) compareAll(ctx context.Context) error {
	if !o.beginComparing() {
		return nil
	}
	err := o.compare(ctx)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sharing.all = true
	}
	return err
}

func (o *Outbox) beginComparing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &o.sharing
	asked := s.all
	s.all, s.comparing = false, s.comparing || asked
	return asked
}

func (o *Outbox) compare(ctx context.Context) error {
	last, err := o.Store.Get(ctx, orderName)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	known, leads := o.known()
	for _, prefix := range []string{waitingPrefix, deadPrefix} {
		err := o.walk(ctx, prefix, func(named store.Named) {
			if v, ok := known[named.Name]; !ok || v != named.Version() {
				o.mark(named.Name)
			}
			delete(known, named.Name)
		})
		if err != nil {
			return err
		}
	}
	if leads { // so nobody else has ended what is missing: the store lost it
		if err := o.putBack(ctx, func(it *item) bool { _, missing := known[it.name]; return missing }); err != nil {
			return err
		}
	}
	o.mark(slices.Sorted(maps.Keys(known))...)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sharing.seen = max(o.sharing.seen, int64(last.Generation))
	return nil
}

// known returns the versions of the records that the outbox knows, by their names, and whether
// only this sidecar can have ended one.
func (o *Outbox) known() (map[string]store.Version, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := make(map[string]store.Version, len(o.items)+len(o.dead))
	for _, it := range o.items {
		known[it.name] = it.version
	}
	for _, d := range o.dead {
		known[d.name] = d.version
	}
	return known, o.leadsLocked()
}
