package broker

import (
	"sync/atomic"
	"time"
)

// entry is what memory holds of one key: a stable pointer whose inside is swapped. The
// table has at most one entry of a key at a time; the cache in front of it holds the same
// pointer.
//
// All of a key is one allocation of 320 bytes, five lines of a processor's cache: calls to many
// keys touch as many entries, and larger ones cost them cache misses.
type entry struct {
	// Read by every call, without a lock.
	token atomic.Pointer[Token]
	used  atomic.Int64 // unix seconds of the last call, WeChat's time
	// sole is one more than the epoch at which the key was found to be the only account of its
	// appid, soleNot or soleDropped.
	sole  atomic.Uint64
	mark  atomic.Value // a Mark
	calls keyCalls
	key   Key
	env   *env

	saved   saved     // the ledger's
	refused *firstTry // of the renewal under way alone; nil for none

	// Guarded by table.mu.
	cond      condition
	mishaps   *mishaps // nil for none: see mishapsLocked and makeMishapsLocked
	queued    queued
	renewal   activity
	blocking  blocking
	usedSaved uint32        // the last use that the store knows, unix seconds
	fullLife  uint32        // the longest life seen of its tokens, seconds
	changed   chan struct{} // closed at the next change, for waiters; nil while there are none
}

// mishaps are what most keys never meet. The zero value is none.
type mishaps struct {
	rejection rejection
	quota     keyQuota
	freed     instant // when the end of an outage last had it tried ahead of its backoff
}

// mishapsLocked returns a copy of the mishaps that e has met.
func (e *entry) mishapsLocked() mishaps {
	if e.mishaps == nil {
		return mishaps{}
	}
	return *e.mishaps
}

// makeMishapsLocked returns the mishaps that e has met, to be changed; it makes them where there
// are none.
func (e *entry) makeMishapsLocked() *mishaps {
	if e.mishaps == nil {
		e.mishaps = &mishaps{}
	}
	return e.mishaps
}

// activity says what goes on with a key.
type activity struct {
	running bool
	again   bool // to be tried again at the end of the renewal under way, should it fail
	waiters int32
	// converge is when it is renewed at the latest, as others obtained a token as well; unix
	// nanoseconds, 0 for no such date.
	converge int64
}

// blocking says whose token a key needs first, and who needs this one's.
type blocking struct {
	on         *entry // nil for none
	dependents map[*entry]struct{}
}

// hit returns the token for a call if it lives, else nil, and notes the call. An entry that was
// dropped has none: nobody renews it any more, nor hears what WeChat says of it.
func (e *entry) hit() *Token {
	now := e.env.clock.Now()
	t := e.token.Load()
	if !t.Alive(now) || e.sole.Load() == soleDropped {
		return nil
	}
	e.env.metrics.CacheRequest(true)
	e.touch(now, t.Life())
	return t
}

// touch notes a call at now, coarsely for a token that lives long: a store to a
// shared cache line on every call would cost more than the rest.
func (e *entry) touch(now time.Time, life time.Duration) {
	coarse := min(30, int64(life/(240*time.Second)))
	if sec := now.Unix(); sec-e.used.Load() > coarse {
		e.used.Store(sec)
	}
}

// lastUsed returns when the key was last called; zero for never.
func (e *entry) lastUsed() time.Time {
	sec := e.used.Load()
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// usableLocked returns the token with which calls can be expected to succeed: one that
// lives and that WeChat has not rejected; nil for none.
func (e *entry) usableLocked(now time.Time) *Token {
	if t := e.token.Load(); t.Alive(now) && t.Generation != e.mishapsLocked().rejection.rejected {
		return t
	}
	return nil
}

// lifeLocked returns the longest life seen of the key's tokens, to scale windows by:
// WeChat may have told of the one held only what was left of it.
func (e *entry) lifeLocked() time.Duration {
	life := time.Duration(e.fullLife) * time.Second
	if t := e.token.Load(); t != nil {
		life = max(life, t.Life())
	}
	if life <= 0 {
		return fullLife
	}
	return life
}

// changedLocked returns the channel that is closed at the next change.
func (e *entry) changedLocked() <-chan struct{} {
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// notifyLocked wakes everybody who waits for a change.
func (e *entry) notifyLocked() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}
