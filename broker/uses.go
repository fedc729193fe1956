package broker

import (
	"context"
	"time"
)

const (
	// useSlack is how far the stored date of a key's last use may lag behind. A
	// restart takes from it which keys are in use and so renewed ahead.
	useSlack = time.Hour
	// useSlackAtEnd is the same when the broker ends in an orderly way.
	useSlackAtEnd = 5 * time.Minute
	usesAtOnce    = 500
)

// saveUses writes the dates of last uses that the store has older than slack, some
// hundreds in one write, and reports whether there may be more.
func (b *Broker) saveUses(ctx context.Context, slack time.Duration) (more bool) {
	keys := b.staleUses(slack)
	if len(keys) == 0 {
		return false
	}
	defer b.locks.all(keys)()
	var changes []change
	var saved []*record
	var entries []*entry
	for _, key := range keys {
		e := b.inMemory(key)
		if e == nil || e.unsaved || e.rec.generation == 0 {
			b.noUseToSave(e)
			continue
		}
		cur, base, err := b.current(ctx, key, e)
		if err != nil {
			return false // the store is away; the next round tries again
		}
		next := *cur
		next.used = e.lastUsed()
		c, err := b.records.change(key, base, &next)
		if err != nil {
			continue
		}
		changes, saved, entries = append(changes, c), append(saved, &next), append(entries, e)
	}
	if len(changes) == 0 || b.records.write(ctx, changes...) != nil {
		return false
	}
	for i, e := range entries {
		b.adopt(e, saved[i])
	}
	return len(keys) == usesAtOnce
}

// noUseToSave passes over an entry whose record will be written anyway, or that
// has none.
func (b *Broker) noUseToSave(e *entry) {
	if e == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e.usedSaved = e.lastUsed().Unix()
}

// staleUses returns some keys whose last use the store has older than slack.
func (b *Broker) staleUses(slack time.Duration) []Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []Key
	for key, e := range b.active {
		if !e.permanent && e.lastUsed().Unix()-e.usedSaved > int64(slack/time.Second) {
			keys = append(keys, key)
		}
		if len(keys) == usesAtOnce {
			break
		}
	}
	return keys
}
