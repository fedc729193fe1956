package broker

import (
	"context"
	"errors"
	"fmt"
)

// errUnsaved says that the store did not take a change, and that memory has it.
var errUnsaved = errors.New("the store did not take the change; it is served from memory")

// keepUnsaved serves a record that the store did not take, for the reason why, and
// returns an error that wraps errUnsaved and why. e is nil for a key that is not in use
// yet: nobody else has its record. The lock of the key is held.
func (b *Broker) keepUnsaved(key Key, e *entry, rec *record, why error) error {
	if e == nil {
		e = b.activate(key, rec, false)
	}
	b.adopt(e, rec)
	e.unsaved = true
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsaved[key] = e
	b.metrics.Unsaved(len(b.unsaved))
	if len(b.unsaved) == 1 { // else it is said already, and one full disk may mean a hundred thousand
		b.log.Error("cannot save tokens; serving them from memory and retrying", "key", key.String(), "error", why)
	}
	return fmt.Errorf("%w: %w", errUnsaved, why)
}

// saved notes that the store has what memory has. The lock of the key is held.
func (b *Broker) saved(e *entry) {
	if e == nil || !e.unsaved {
		return
	}
	e.unsaved = false
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.unsaved, e.key)
	b.metrics.Unsaved(len(b.unsaved))
	if len(b.unsaved) == 0 {
		b.log.Info("all tokens are saved again")
	}
}

func (b *Broker) hasUnsaved() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.unsaved) > 0
}

func (b *Broker) isUnsaved(key Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unsaved[key] != nil
}

// saveUnsaved tries again to save what the store did not take.
func (b *Broker) saveUnsaved(ctx context.Context) {
	b.mu.Lock()
	waiting := make([]Key, 0, len(b.unsaved))
	for key := range b.unsaved {
		waiting = append(waiting, key)
	}
	b.mu.Unlock()
	for _, key := range waiting {
		if b.saveNow(ctx, key) != nil {
			return // the store still refuses; the others would only be refused as well
		}
	}
	b.saveCodes(ctx)
}

// saveNow saves what memory has of key and the store has not; it does nothing for what
// is saved.
func (b *Broker) saveNow(ctx context.Context, key Key) error {
	if !b.isUnsaved(key) {
		return nil
	}
	_, err := b.update(ctx, key, func(*record) bool { return false })
	return err
}

// unsavedAuthorizers returns the authorizers of which memory has more than the store;
// true for those whose merchant has taken the authorization back.
func (b *Broker) unsavedAuthorizers() map[Key]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[Key]bool{}
	for key, e := range b.unsaved {
		if key.Kind == KindAuthorizer {
			found[key] = e.cond.trouble == StateUnauthorized
		}
	}
	return found
}
