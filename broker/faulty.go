package broker

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Refusal is WeChat's answer to a call that its token is stale.
type Refusal struct {
	// Errcode is 40001, 40014 or 42001.
	Errcode int
	// Path names the call: that of an app's call as it was sent. Only its first 128
	// bytes count.
	Path string
	// First is when the same call was refused for the first time, by [Broker.Now];
	// zero if this is the first time.
	First time.Time
	// Final says that this call is not sent again, as its body was not kept. The next
	// refusal of a call of Path counts as its second.
	Final bool
}

// refutes reports whether r is the second refusal of a call, with a token that was
// obtained after the first: then the call is at fault and not the token. The store
// keeps milliseconds.
func (r Refusal) refutes(t *Token) bool {
	return !r.First.IsZero() && t.ObtainedAt().UnixMilli() >= r.First.UnixMilli()
}

const (
	// faultyMemory is how long a call that was found at fault is remembered unless it
	// succeeds. One that was found so twice then forces a renewal only once its token
	// has served nothing for faultyPause, or for faultyIdle if it did serve before, which
	// tells more; twice as long after each further finding, at most faultyPauseMax. All
	// are for a token of the full life.
	faultyMemory   = 10 * time.Minute
	faultyPause    = 30 * time.Second
	faultyIdle     = 5 * time.Second
	faultyPauseMax = 20 * time.Minute
	// faultyKept is how many calls are remembered of a key, and faultyPath how many
	// bytes of their paths: apps may call whatever they like.
	faultyKept = 64
	faultyPath = 128
)

// faultyCall is a call that WeChat refuses whatever its token is. It is immutable.
type faultyCall struct {
	times int       // found at fault, without having been cured by a fresh token between
	found time.Time // so last
	until time.Time // remembered until then; zero once it has succeeded
	kept  time.Time // forgotten altogether then
	// refused is when a call that is not sent again was refused, until the next one is
	// judged or succeeds.
	refused time.Time
}

// faultyCalls remembers the calls of one key that WeChat refuses whatever their token
// is, so that they do not use up the forced renewals that a displaced token needs. The
// zero value remembers none. It is safe for concurrent use.
type faultyCalls struct {
	mu    sync.Mutex                            // serializes changes
	calls atomic.Pointer[map[string]faultyCall] // replaced, never changed; nil for none
}

// found notes that a call of path, refused at first, was refused again with a token that
// had been obtained since. Calls that were under way together are one finding: somebody
// outside may have displaced that token at once.
func (f *faultyCalls) found(path string, first, now time.Time, life time.Duration) {
	path = clip(path)
	f.change(now, func(calls map[string]faultyCall) {
		c := room(calls, path)
		if first.After(c.found) {
			c.times++
		}
		c.found, c.refused = now, time.Time{}
		c.until = now.Add(share(faultyMemory, life))
		c.kept = now.Add(max(life, share(faultyMemory, life)))
		calls[path] = c
	})
}

// mayForce reports whether a refusal of the call of path may force a renewal. One that
// is remembered may not if the token has served another call, since that shows that the
// token is good. One that was found at fault several times, although it may have
// succeeded between, waits until the token has served nothing since the time idle: a
// login form answers like this to a code that is spent, and whoever sends those must not
// force renewals, but where no login succeeds any more the token is to be replaced.
func (f *faultyCalls) mayForce(path string, served bool, idle, now time.Time, life time.Duration) bool {
	calls := f.calls.Load()
	if calls == nil {
		return true
	}
	c := (*calls)[path[:min(len(path), faultyPath)]]
	if served && now.Before(c.until) {
		return false
	}
	if c.times < 2 {
		return true
	}
	pause := faultyPause
	if served {
		pause = faultyIdle
	}
	pause = min(pause<<min(c.times-2, 10), faultyPauseMax)
	return !now.Before(idle.Add(share(pause, life)))
}

// succeeded notes that WeChat took the token in a call of path; cured, that it was a
// fresh token that made the difference. It takes no lock and allocates nothing unless
// the call is remembered.
func (f *faultyCalls) succeeded(path []byte, cured bool) {
	calls := f.calls.Load()
	if calls == nil {
		return
	}
	path = path[:min(len(path), faultyPath)]
	c, known := (*calls)[string(path)]
	if !known || c.until.IsZero() && c.refused.IsZero() && !cured {
		return
	}
	f.change(time.Time{}, func(calls map[string]faultyCall) {
		c, known := calls[string(path)]
		if cured || !c.refused.IsZero() {
			delete(calls, string(path))
		} else if known {
			c.until = time.Time{}
			calls[string(path)] = c
		}
	})
}

// firstRefused notes that a call of path was refused at now and is not sent again, and
// returns when one was refused before; zero if none was, or one has succeeded since.
func (f *faultyCalls) firstRefused(path string, now time.Time) time.Time {
	path = clip(path)
	var first time.Time
	f.change(now, func(calls map[string]faultyCall) {
		c := room(calls, path)
		if first = c.refused; first.IsZero() {
			c.refused = now
		}
		c.kept = later(c.kept, now.Add(faultyMemory))
		calls[path] = c
	})
	return first
}

// change edits a copy of what is remembered, without what has come to its end by now.
func (f *faultyCalls) change(now time.Time, edit func(map[string]faultyCall)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := map[string]faultyCall{}
	if calls := f.calls.Load(); calls != nil {
		maps.Copy(next, *calls)
	}
	maps.DeleteFunc(next, func(_ string, c faultyCall) bool { return c.kept.Before(now) })
	edit(next)
	if len(next) == 0 {
		f.calls.Store(nil)
		return
	}
	f.calls.Store(&next)
}

// any reports whether a call is remembered as at fault at now.
func (f *faultyCalls) any(now time.Time) bool {
	if calls := f.calls.Load(); calls != nil {
		for _, c := range *calls {
			if now.Before(c.until) {
				return true
			}
		}
	}
	return false
}

// room returns what is remembered of path, and makes room for it if that is nothing.
func room(calls map[string]faultyCall, path string) faultyCall {
	c, known := calls[path]
	if !known && len(calls) >= faultyKept {
		delete(calls, firstToEnd(calls))
	}
	return c
}

// firstToEnd returns the path of the call that is forgotten first.
func firstToEnd(calls map[string]faultyCall) string {
	first := ""
	for path, c := range calls {
		if first == "" || c.kept.Before(calls[first].kept) {
			first = path
		}
	}
	return first
}

func clip(path string) string { return strings.Clone(path[:min(len(path), faultyPath)]) }
