package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// storeTimeout bounds one change of the store.
const storeTimeout = 5 * time.Second

// ledger is the records behind the store: it reads them, changes them by compare-and-set,
// and keeps in memory what the store does not take. Store first, then memory: the keys in
// use follow a record once it is durable. It is safe for concurrent use.
type ledger struct {
	*env
	store  store.Store
	seal   *seal.Keyring
	locks  *keyLocks
	memory memory

	mu      sync.Mutex
	unsaved map[Key]struct{} // keys of which memory has more than the store
	refusal refusal
}

// memory is what the ledger needs of the keys in use. Its calls for one key come one after
// the other.
type memory interface {
	inUse(Key) *saved // nil for a key that is not in use
	follow(Key, *record)
	activate(Key, *record) *entry
	useNotSaved(Key)
	converge(Key)
	changedElsewhere(key Key, before, after *record)
}

// saved is what the ledger knows of a key in use. It stands in the key's entry; the ledger's
// lock of the key guards it.
type saved struct {
	kept    kept        // the record
	unsaved atomic.Bool // it is ahead of the store
	wrote   bool        // this sidecar obtained its token
}

// errUnsaved says that the store did not take a change, and that memory has it.
var errUnsaved = errors.New("the store did not take the change; it is served from memory")

// lock locks a key, so that nobody else reads its record to bring it into use, and
// returns what unlocks it.
func (l *ledger) lock(key Key) (unlock func()) { return l.locks.one(key) }

// update reads the record of key, lets edit change a copy, makes the copy durable, and
// only then lets memory follow. edit returns false to leave the record as it is; it may be
// called again when another writer was faster. The record in force is returned.
//
// If the store does not take the change, memory follows all the same, saving is tried
// again later, and the error wraps errUnsaved. What is in force and waits to be saved
// is tried now, whether or not this change adds to it. A store that cannot even be read
// leaves a key that is not in use as it is.
func (l *ledger) update(ctx context.Context, key Key, edit func(*record) bool) (*record, error) {
	defer l.lock(key)()
	rec, err := l.updateLocked(ctx, key, edit, nil)
	if rec != nil && !errors.Is(err, errUnsaved) {
		err = nil // there was nothing to save, and memory is all there is while the store cannot be read
	}
	return rec, err
}

// replace is update by an edit that needs nothing of the record: whatever the store has,
// what edit makes is newer. The changes with go into the same write.
func (l *ledger) replace(ctx context.Context, key Key, edit func(*record), with []change) error {
	defer l.lock(key)()
	_, err := l.updateLocked(ctx, key, func(r *record) bool { edit(r); return true }, &with)
	return err
}

// updateLocked is what update and replace share; with is nil for update.
func (l *ledger) updateLocked(ctx context.Context, key Key, edit func(*record) bool, with *[]change) (*record, error) {
	s := l.memory.inUse(key)
	for range conflictTries {
		cur, base, ahead, loadErr := l.inForceLocked(ctx, key, s)
		switch {
		case cur == nil && with == nil:
			return nil, loadErr
		case cur == nil:
			cur = &record{}
		}
		repairs := ahead && !s.unsaved.Load()
		next := *cur
		if !edit(&next) {
			if !ahead {
				l.noteSavedLocked(key, s) // what was not saved is overtaken
				l.followLocked(key, s, cur)
				return cur, loadErr
			}
			next = *cur // as it is to be, but not durably
			l.followLocked(key, s, cur)
		}
		err := loadErr
		if err == nil {
			err = l.save(ctx, key, base, &next, with)
		}
		switch {
		case err == nil:
			l.noteSavedLocked(key, s)
			l.noteRepaired(repairs)
			l.adoptLocked(key, s, &next)
			return &next, nil
		case !errors.Is(err, store.ErrConflict):
			return &next, l.keepUnsavedLocked(key, &next, err)
		case with != nil:
			*with = l.stillOpen(ctx, *with)
		}
	}
	return nil, outpaced(key.String())
}

// currentLocked returns the record in force and the version that the store has. s is nil for
// a key that is not in use.
func (l *ledger) currentLocked(ctx context.Context, key Key, s *saved) (cur *record, base store.Version, err error) {
	cur, base, _, err = l.inForceLocked(ctx, key, s)
	return cur, base, err
}

// inForceLocked is currentLocked, and whether the store does not have that record: it did
// not take it, or it went back. The next change puts it there again. A store that cannot be
// read is not known to lack anything but what it did not take.
func (l *ledger) inForceLocked(ctx context.Context, key Key, s *saved) (cur *record, base store.Version, ahead bool, err error) {
	stored, base, err := l.load(ctx, key)
	switch {
	case err != nil && s == nil:
		return nil, base, false, err
	case err != nil:
		return s.kept.record(), base, s.unsaved.Load(), err
	}
	cur = l.inForceOfLocked(key, s, stored)
	return cur, base, cur != stored, nil
}

// inForceOfLocked returns the record in force of a key of which the store has stored.
func (l *ledger) inForceOfLocked(key Key, s *saved, stored *record) *record {
	if s == nil {
		return stored
	}
	cur, rivals := s.inForce(stored)
	if rivals {
		l.memory.converge(key)
	}
	return cur
}

// inForce returns which is in force of what memory holds and what the store has, and whether
// they are rivals: two sidecars obtained a token at once, or the store lost one and got
// another. What memory holds is in force where the store did not take it, and where the store
// went back: its file was repaired, an old copy restored, or a failover lost its last writes.
func (s *saved) inForce(stored *record) (cur *record, rivals bool) {
	mine, unsaved := s.kept.record(), s.unsaved.Load()
	behind := mine.generation > stored.generation && mine.newerThan(stored)
	if mine.rivals(stored) && !behind && (unsaved || mine.generation >= stored.generation) {
		return newest(mine, stored), true
	}
	switch {
	case mine.generation > stored.generation,
		mine.generation == stored.generation && (unsaved || stored.unreadable):
		return mine, false
	case unsaved && mine.authorized.After(stored.authorized):
		// The store could not be read when this authorization came.
		newer := *mine
		newer.generation = stored.generation + 1
		return &newer, false
	}
	return stored, false
}

// newest returns which of two rivals was obtained last, under a generation that is later than
// the other's.
func newest(a, b *record) *record {
	if !a.newerThan(b) {
		a, b = b, a
	}
	if a.generation > b.generation {
		return a
	}
	last := *a
	last.generation = b.generation + 1
	return &last
}

// current returns the record in force of a key in use.
func (l *ledger) current(ctx context.Context, key Key) (*record, error) {
	defer l.lock(key)()
	cur, _, err := l.currentLocked(ctx, key, l.memory.inUse(key))
	return cur, err
}

// reread returns the record in force of a key in use, and whether it is another
// generation than memory had: then memory has followed. Memory is all there is while the
// store cannot be read.
func (l *ledger) reread(ctx context.Context, key Key, s *saved) (rec *record, newer bool) {
	defer l.lock(key)()
	known := s.kept.record()
	cur, _, err := l.currentLocked(ctx, key, s) // what the store did not take counts as well
	if err != nil {
		return known, false
	}
	if cur.generation == known.generation && cur.token.Equal(known.token) {
		return cur, false
	}
	l.adoptLocked(key, s, cur)
	return cur, true
}

// inMemory returns the record that memory follows.
func (l *ledger) inMemory(key Key, s *saved) *record {
	defer l.lock(key)()
	return s.kept.record()
}

func (l *ledger) save(ctx context.Context, key Key, base store.Version, rec *record, with *[]change) error {
	c, err := recordChange(key, base, rec)
	if err != nil {
		return err
	}
	changes := []change{c}
	if with != nil {
		changes = append(changes, *with...)
	}
	return l.write(ctx, changes...)
}

// adoptLocked lets memory follow a record. An older generation than the one held is
// dropped. s is nil for a key that is not in use.
func (l *ledger) adoptLocked(key Key, s *saved, rec *record) {
	if s == nil {
		return
	}
	before := s.kept.record()
	if rec.generation < before.generation {
		return
	}
	s.wrote = s.wrote && rec.token.Equal(before.token)
	s.kept = keep(rec)
	l.memory.follow(key, s.kept.record())
}

// stillOpen drops from changes those that somebody else has made already.
func (l *ledger) stillOpen(ctx context.Context, changes []change) []change {
	var open []change
	for _, c := range changes {
		if got, err := l.read(ctx, c.name); err == nil && got.version == c.base {
			open = append(open, c)
		}
	}
	return open
}

// conflictTries is how often a change is made anew because another writer was
// faster. More than once or twice means that two go on undoing each other's work.
const conflictTries = 8

// outpaced is the error of a change for which these tries were not enough.
func outpaced(name string) error {
	return fmt.Errorf("save %s: %w, %d times in a row", name, store.ErrConflict, conflictTries)
}
