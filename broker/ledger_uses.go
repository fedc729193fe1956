package broker

import (
	"context"
	"maps"
	"slices"
	"time"
)

// saveUses writes when keys were last used, in one write, and reports whether the store
// took that.
func (l *ledger) saveUses(ctx context.Context, uses map[Key]time.Time) bool {
	defer l.locks.all(slices.Collect(maps.Keys(uses)))()
	var changes []change
	written := map[Key]*record{}
	for key, used := range uses {
		s := l.memory.inUse(key)
		if s == nil {
			continue
		}
		if s.unsaved.Load() || s.rec.generation == 0 { // it will be written anyway, or is none
			l.memory.useNotSaved(key)
			continue
		}
		cur, base, err := l.currentLocked(ctx, key, s)
		if err != nil {
			return false // the store is away; the next round tries again
		}
		if !used.After(cur.used) {
			l.memory.useNotSaved(key) // another sidecar has written a later one
			continue
		}
		next := *cur
		next.used = used
		if c, err := recordChange(key, base, &next); err == nil {
			changes, written[key] = append(changes, c), &next
		}
	}
	if len(changes) == 0 || l.write(ctx, changes...) != nil {
		return false
	}
	for key, rec := range written {
		l.adoptLocked(key, l.memory.inUse(key), rec)
	}
	return true
}
