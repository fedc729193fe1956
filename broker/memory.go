package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// storeTimeout bounds one change of the store.
const storeTimeout = 5 * time.Second

// update reads the record of key, lets change edit a copy, makes the copy durable,
// and only then lets memory follow. change returns false to
// leave the record as it is; it may be called again when another writer was
// faster. The record in force is returned.
//
// If the store does not take the change, memory follows all the same, saving is tried
// again later, and the error wraps errUnsaved. What is in force and waits to be saved
// is tried now, whether or not this change adds to it. A store that cannot even be read
// leaves a key that is not in use as it is.
func (b *Broker) update(ctx context.Context, key Key, change func(*record) bool) (*record, error) {
	defer b.locks.one(key)()
	e := b.inMemory(key)
	for range conflictTries {
		cur, base, loadErr := b.current(ctx, key, e)
		if loadErr != nil && e == nil {
			return nil, loadErr
		}
		next := *cur
		if !change(&next) {
			if e == nil || !e.unsaved {
				b.adopt(e, cur)
				return cur, nil
			}
			next = *cur // as it is to be, but not durably
		}
		err := loadErr
		if err == nil {
			err = b.save(ctx, key, base, &next)
		}
		switch {
		case err == nil:
			b.saved(e)
			b.adopt(e, &next)
			return &next, nil
		case errors.Is(err, store.ErrConflict):
		default:
			return &next, b.keepUnsaved(key, e, &next, err)
		}
	}
	return nil, outpaced(key.String())
}

// current returns the record in force and the generation that the store has. What
// memory holds is in force where the store did not take it, and where the store went
// back: its file was repaired, or an old copy restored. The next change puts it
// there again. The lock of key is held.
func (b *Broker) current(ctx context.Context, key Key, e *entry) (cur *record, base uint64, err error) {
	stored, err := b.records.load(ctx, key)
	if err != nil {
		if e == nil {
			return nil, 0, err
		}
		return e.rec, 0, err
	}
	ahead := e != nil && e.rec.generation > stored.generation
	only := e != nil && e.rec.generation == stored.generation && (e.unsaved || stored.unreadable)
	switch {
	case ahead || only:
		return e.rec, stored.generation, nil
	case e != nil && e.unsaved && e.rec.authorized.After(stored.authorized):
		// The store could not be read when this authorization came.
		newer := *e.rec
		newer.generation = stored.generation + 1
		return &newer, stored.generation, nil
	}
	return stored, stored.generation, nil
}

// recordInForce is current for who does not hold the lock of the key.
func (b *Broker) recordInForce(ctx context.Context, e *entry) (*record, error) {
	defer b.locks.one(e.key)()
	cur, _, err := b.current(ctx, e.key, e)
	return cur, err
}

func (b *Broker) save(ctx context.Context, key Key, base uint64, rec *record) error {
	c, err := b.records.change(key, base, rec)
	if err != nil {
		return err
	}
	return b.records.write(ctx, c)
}

// adopt lets memory follow a record. An older generation than the one held is
// dropped. The lock of the key is held; e may be nil.
func (b *Broker) adopt(e *entry, rec *record) {
	if e == nil || (e.rec != nil && rec.generation < e.rec.generation) {
		return
	}
	e.rec = rec
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checkpoint("renewal-swap")
	e.usedSaved, e.fullLife = rec.used.Unix(), rec.fullLife
	t := e.tokenOf(rec)
	if e.suspect != nil && t != nil && t.Generation == e.suspect.Generation {
		e.suspect = t // rejected, and its successor awaited: settle decides
		return
	}
	e.token.Store(t)
	if t == nil || t.Generation != e.rejected {
		e.rejected = 0
	}
	if e.suspect != nil && rec.generation > e.suspect.Generation {
		e.suspect = nil
	}
}

// tokenOf returns the token of a record; nil for none.
func (e *entry) tokenOf(rec *record) *Token {
	t := rec.tokenOf(&e.key)
	if t != nil {
		t.calls = &e.calls
	}
	return t
}
