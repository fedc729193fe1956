package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// refusal is that the store refuses changes, from the first that it did not take until none has
// been refused for calmTime. ledger.mu guards it.
type refusal struct {
	logged bool      // it goes on
	why    string    // the store's words for the latest
	latest time.Time // the latest change that was refused, by our own clock
	saved  bool      // something of it was saved since
}

// calmTime is longer than a few tries to save: a full disk takes some changes, small ones say,
// and refuses the next.
const calmTime = 30 * time.Second

// keepUnsavedLocked serves a record that the store did not take, for the reason why, and
// returns an error that wraps errUnsaved and why. It brings a key into use that is not, or
// no longer: nobody else has its record.
func (l *ledger) keepUnsavedLocked(key Key, rec *record, why error) error {
	s := l.memory.inUse(key)
	if s == nil {
		s = &l.memory.activate(key, rec).saved
	}
	l.adoptLocked(key, s, rec)
	s.unsaved.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refusal.logged { // one full disk may mean a hundred thousand
		l.log.Error("cannot save tokens; serving them from memory and retrying", "key", key.String(), "error", why)
	}
	l.refusal = refusal{logged: true, why: why.Error(), latest: l.clock.Local()}
	l.unsaved[key] = struct{}{}
	l.metrics.Unsaved(len(l.unsaved))
	return fmt.Errorf("%w: %w", errUnsaved, why)
}

// noteSavedLocked notes that the store has what memory has.
func (l *ledger) noteSavedLocked(key Key, s *saved) {
	if s == nil || !s.unsaved.Swap(false) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.unsaved, key)
	l.metrics.Unsaved(len(l.unsaved))
	l.refusal.saved = true
}

// endRefusal logs that all is saved again, once it is.
func (l *ledger) endRefusal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refusal.logged || len(l.unsaved) > 0 || l.clock.Local().Sub(l.refusal.latest) < calmTime {
		return
	}
	if l.refusal.saved { // else the keys are in use no longer
		l.log.Info("all tokens are saved again")
	}
	l.refusal = refusal{}
}

// forgetUnsaved gives up saving what memory has of keys that are in use no longer.
func (l *ledger) forgetUnsaved(keys []Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		delete(l.unsaved, key)
	}
	l.metrics.Unsaved(len(l.unsaved))
}

func (l *ledger) hasUnsaved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unsaved) > 0
}

func (l *ledger) unsavedKeys() []Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.unsaved))
}

// unsavedReason returns why the store last refused a change; empty while none is unsaved.
func (l *ledger) unsavedReason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unsaved) == 0 {
		return ""
	}
	return l.refusal.why
}

// saveUnsaved tries again to save what the store did not take, and returns the first
// error: the store still refuses, and the others would only be refused as well.
func (l *ledger) saveUnsaved(ctx context.Context) error {
	for _, key := range l.unsavedKeys() {
		if err := l.saveNow(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// saveNow saves what memory has of key and the store has not; it does nothing for what
// is saved.
func (l *ledger) saveNow(ctx context.Context, key Key) error {
	l.mu.Lock()
	_, unsaved := l.unsaved[key]
	l.mu.Unlock()
	if !unsaved {
		return nil
	}
	_, err := l.update(ctx, key, func(*record) bool { return false })
	return err
}
