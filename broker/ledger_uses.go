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
	all, err := l.loadEach(ctx, slices.Collect(maps.Keys(uses)))
	if err != nil {
		return false // the store is away; the next round tries again
	}
	var changes []change
	written := map[Key]*record{}
	for key, used := range uses {
		s := l.memory.inUse(key)
		if s == nil {
			continue
		}
		mine := s.kept.record()
		if s.unsaved.Load() || mine.generation == 0 { // it will be written anyway, or is none
			l.memory.useNotSaved(key)
			continue
		}
		cur := l.inForceOfLocked(key, s, all[key].rec)
		if cur.generation != mine.generation || !cur.token.Equal(mine.token) {
			continue // another sidecar's; news of it has the key go on from there
		}
		if !used.After(cur.used) {
			l.memory.useNotSaved(key) // another sidecar has written a later one
			continue
		}
		next := *cur
		next.used = used
		if c, err := recordChange(key, all[key].base, &next); err == nil {
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
