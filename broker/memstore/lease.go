package memstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// held is a lease as the store has it.
type held struct {
	by    *watch
	fence uint64
	until time.Time
}

// Lock implements [store.Locker]. A view that has the lease already gets it again, extended and
// with the same fence.
func (s *Shared) Lock(ctx context.Context, name string, o store.LeaseOptions) (store.Lease, error) {
	asked := s.data.now()
	if o.For <= 0 {
		return nil, fmt.Errorf("lock %q: a lease of %s is none", name, o.For)
	}
	if err := s.begin(ctx); err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	fence, err := s.data.lock(s.watch, name, o)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	l := &lease{view: s, name: name, fence: fence, lasts: o.For}
	until := asked.Add(o.For)
	l.until.Store(&until)
	return l, nil
}

func (d *data) lock(by *watch, name string, o store.LeaseOptions) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, now := d.records[name], d.now()
	if o.Generation != 0 && rec.Generation > o.Generation {
		return 0, store.ErrConflict
	}
	h, ok := d.leases[name]
	if ok = ok && now.Before(h.until); ok && h.by != by {
		return 0, &store.HeldError{Name: name, By: h.by.name, Left: h.until.Sub(now)}
	}
	if !ok {
		d.fences[name] = max(d.fences[name], rec.Fence, o.Fence) + 1
	}
	d.leases[name] = held{by, d.fences[name], now.Add(o.For)}
	return d.fences[name], nil
}

// extend also has a lease last on that ended, if nobody has had it since.
func (d *data) extend(by *watch, name string, fence uint64, lasts time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.leases[name]
	if h.by != by || h.fence != fence {
		return false
	}
	h.until = d.now().Add(lasts)
	d.leases[name] = h
	return true
}

func (d *data) unlock(by *watch, name string, fence uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.leases[name]; h.by == by && h.fence == fence {
		delete(d.leases, name)
	}
}

// lease implements [store.Lease].
type lease struct {
	view  *Shared
	name  string
	fence uint64
	lasts time.Duration
	until atomic.Pointer[time.Time]
}

func (l *lease) Fence() uint64 { return l.fence }

func (l *lease) Left() time.Duration { return l.until.Load().Sub(l.view.data.now()) }

func (l *lease) Extend(ctx context.Context) error {
	until := l.view.data.now().Add(l.lasts)
	if err := l.view.begin(ctx); err != nil {
		return fmt.Errorf("extend the lease of %q: %w", l.name, err)
	}
	if !l.view.data.extend(l.view.watch, l.name, l.fence, l.lasts) {
		return fmt.Errorf("extend the lease of %q: %w", l.name, store.ErrLost)
	}
	l.until.Store(&until)
	return nil
}

// unlockWithin bounds an Unlock.
const unlockWithin = time.Second

func (l *lease) Unlock() {
	now := l.view.data.now()
	l.until.Store(&now)
	ctx, cancel := context.WithTimeout(context.Background(), unlockWithin)
	defer cancel()
	if l.view.begin(ctx) == nil {
		l.view.data.unlock(l.view.watch, l.name, l.fence)
	}
}
