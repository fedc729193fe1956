package broker

import (
	"context"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// noteWrote notes that this sidecar obtained the token of a key, if it is in force.
func (l *ledger) noteWrote(key Key, token secret.Text) {
	defer l.lock(key)()
	if s := l.memory.inUse(key); s != nil {
		s.wrote = s.kept.record().token.Equal(token)
	}
}

// wrote reports whether this sidecar obtained the token in force.
func (l *ledger) wrote(key Key, s *saved) bool {
	defer l.lock(key)()
	return s.wrote
}

// showRole shows which sidecar obtained what is held of the key.
func (l *ledger) showRole(key Key, s *KeyStatus) {
	if l.coordination == nil {
		return
	}
	defer l.lock(key)()
	held := l.memory.inUse(key)
	if held == nil {
		return
	}
	rec := held.kept.record()
	if rec.token.IsZero() {
		return
	}
	s.Role, s.Fence = "reader", rec.fence
	if held.wrote {
		s.Role = "writer"
	}
}

// noteRepaired counts a change that put back what the store had lost.
func (l *ledger) noteRepaired(repairs bool) {
	if repairs {
		l.coordination.count(repaired)
		l.metrics.Repaired()
	}
}

// catchUp has a key in use follow the store, in which another sidecar may have changed it, and
// puts back what the store has lost of it. It returns the record that was in force here and
// the one that is now; nil for a key that is not in use.
func (l *ledger) catchUp(ctx context.Context, key Key) (before, after *record, err error) {
	defer l.lock(key)()
	s := l.memory.inUse(key)
	if s == nil {
		return nil, nil, nil
	}
	before = s.kept.record()
	_, err = l.updateLocked(ctx, key, func(*record) bool { return false }, nil)
	return before, s.kept.record(), err
}

// followLocked is adoptLocked for what another sidecar wrote: the key goes on from there.
func (l *ledger) followLocked(key Key, s *saved, rec *record) {
	if s == nil || s.kept == keep(rec) {
		return
	}
	before := s.kept.record()
	if rec.generation < before.generation {
		return
	}
	l.adoptLocked(key, s, rec)
	l.memory.changedElsewhere(key, before, rec)
}

// behind returns those of the keys in use of which the store has something else than memory.
func (l *ledger) behind(ctx context.Context, keys []Key) ([]Key, error) {
	all, err := l.loadEach(ctx, keys)
	if err != nil {
		return nil, err
	}
	var differ []Key
	for _, key := range keys {
		if l.differs(key, all[key].rec) {
			differ = append(differ, key)
		}
	}
	return differ, nil
}

// differs reports whether memory holds of a key in use something else than stored.
func (l *ledger) differs(key Key, stored *record) bool {
	defer l.lock(key)()
	s := l.memory.inUse(key)
	if s == nil {
		return false
	}
	r := s.kept.record()
	if r.generation == 0 && stored.generation == 0 {
		return false
	}
	return s.unsaved.Load() || r.generation != stored.generation || !r.token.Equal(stored.token) || !r.dies.Equal(stored.dies) ||
		!r.refreshToken.Equal(stored.refreshToken) || r.verdict != stored.verdict || !r.quotaMet.Equal(stored.quotaMet) || stored.unreadable
}
