package boltstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// errNothingToDo rolls a transaction back in which every put was refused.
var errNothingToDo = errors.New("nothing to commit")

// put is one Put that waits to be committed.
type put struct {
	writes []store.Write
	err    error
	done   chan struct{} // closed when err is final
}

// Put implements [store.Store]. A ctx that ends while the write is under way does
// not stop it: Put waits and tells how it went. After an error other than
// [store.ErrConflict] or ctx's the disk may have the write all the same, as it may
// after a crash; the caller reads the record again.
func (s *Store) Put(ctx context.Context, writes ...store.Write) error {
	if err := s.put(ctx, writes); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, writes []store.Write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := valid(writes); err != nil || len(writes) == 0 {
		return err
	}
	h, err := s.live()
	if err != nil {
		return err
	}
	p := &put{writes: writes, done: make(chan struct{})}
	h.enqueue(p)
	select {
	case h.turn <- struct{}{}:
		h.commit()
		<-h.turn
	case <-p.done:
	case <-ctx.Done():
		if h.withdraw(p) {
			return ctx.Err()
		}
	case <-h.dead:
		if h.withdraw(p) {
			return h.cause()
		}
	}
	<-p.done
	return p.err
}

func (h *handle) enqueue(p *put) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = append(h.pending, p)
}

// withdraw takes p back, unless a writer has it already.
func (h *handle) withdraw(p *put) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, q := range h.pending {
		if q == p {
			h.pending = append(h.pending[:i], h.pending[i+1:]...)
			return true
		}
	}
	return false
}

func (h *handle) take() []*put {
	h.mu.Lock()
	defer h.mu.Unlock()
	group := h.pending
	h.pending = nil
	return group
}

// commit writes all that waits, in one transaction. The caller has the turn.
func (h *handle) commit() {
	group := h.take()
	if len(group) == 0 {
		return // an earlier writer took it along
	}
	err := h.update(func(b *bbolt.Bucket) error {
		ok := 0
		for _, p := range group {
			if p.err = apply(b, p.writes); p.err == nil {
				ok++
			} else if !errors.Is(p.err, store.ErrConflict) {
				return p.err // some of its writes may be done: nobody's must stay
			}
		}
		if ok == 0 {
			return errNothingToDo
		}
		return nil
	})
	for _, p := range group {
		// A conflict is final only if what it conflicts with was committed.
		if err != nil && !errors.Is(err, errNothingToDo) {
			p.err = err
		}
		close(p.done)
	}
}

// apply does all the writes, or none if one conflicts.
func apply(b *bbolt.Bucket, writes []store.Write) error {
	for _, w := range writes {
		var stored store.Record
		if value := b.Get([]byte(w.Name)); value != nil {
			var err error
			if stored, err = decode(value); err != nil {
				return fmt.Errorf("%q: %w", w.Name, err)
			}
		}
		if stored.Version() != w.Base {
			return fmt.Errorf("%q: %w", w.Name, store.ErrConflict)
		}
	}
	for _, w := range writes {
		if err := applyOne(b, w); err != nil {
			return fmt.Errorf("%q: %w", w.Name, err)
		}
	}
	return nil
}

func applyOne(b *bbolt.Bucket, w store.Write) error {
	if w.Record.Sealed == nil {
		return b.Delete([]byte(w.Name))
	}
	return b.Put([]byte(w.Name), encode(w.Record))
}
