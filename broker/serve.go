package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Token returns a living token of key. With one in memory it takes no lock of the
// broker's, and costs no I/O and no allocation. Without one it waits for a renewal until
// ctx ends, at most Options.Wait, and then returns a *StateError. ctx must not be a
// request's own memory: it may be looked at after the caller has left.
func (b *Broker) Token(ctx context.Context, key Key) (*Token, error) {
	if e := b.cache.get(key); e != nil {
		now := b.clock.Now()
		if t := e.token.Load(); t.Alive(now) {
			b.metrics.CacheRequest(true)
			e.touch(now, t.Life())
			return t, nil
		}
	}
	b.metrics.CacheRequest(false)
	return b.TokenAfter(ctx, key, 0)
}

// TokenAfter is [Broker.Token] for a caller whose token of that generation WeChat
// has just rejected: it waits for the next one, and does not give the rejected one
// again, unless WeChat itself has said meanwhile that it is the one (stable_token
// does so). A *StateError says why there is no other in time.
func (b *Broker) TokenAfter(ctx context.Context, key Key, generation uint64) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Wait)
	defer cancel()
	for {
		e, err := b.entryOf(ctx, key)
		if err != nil {
			return nil, err
		}
		t, err := b.await(ctx, e, generation)
		if !errors.Is(err, errLetGo) {
			return t, err
		}
	}
}

// errLetGo says that an entry is no longer the one in use for its key.
var errLetGo = errors.New("the entry was let go of")

// good returns the living token of e if it is of use to one whose token of the
// generation spent was rejected, else nil. Broker.mu is held.
func (e *entry) good(now time.Time, spent uint64) *Token {
	t := e.token.Load()
	if !t.Alive(now) || t.Generation == spent && e.unchanged != spent {
		return nil
	}
	return t
}

// await returns a living token of e, other than that of the generation spent, and
// waits for it if need be, until ctx ends, which is within Options.Wait. It returns
// errLetGo if e is in use no longer.
func (b *Broker) await(ctx context.Context, e *entry, spent uint64) (*Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.waiters++
	defer func() { e.waiters-- }()
	end := b.clock.Now().Add(b.opts.Wait)
	for {
		if b.active[e.key] != e {
			return nil, errLetGo
		}
		now := b.clock.Now()
		e.touch(now, e.life())
		if t := e.good(now, spent); t != nil {
			return t, nil
		}
		if err := b.hopeless(e, now, end); err != nil {
			return nil, err
		}
		b.want(e)
		changed := e.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			b.mu.Lock()
			if t := e.good(b.clock.Now(), spent); t != nil {
				return t, nil
			}
			return nil, b.stateError(e, b.clock.Now())
		}
		b.mu.Lock()
	}
}

// hopeless returns the error of a key that cannot come to life before end, so that
// nobody waits in vain. Broker.mu is held.
func (b *Broker) hopeless(e *entry, now, end time.Time) error {
	root := b.root(e)
	c := root.cond
	if root.running || now.After(c.notBefore) || c.notBefore.IsZero() {
		return nil
	}
	switch c.trouble {
	case StateUnauthorized, StateNeedsAuthorization, StateMisconfigured, StateQuotaExhausted:
		return b.stateError(e, now)
	case StateRetrying:
		if !b.paused && c.notBefore.After(end) {
			return b.stateError(e, now)
		}
	}
	return nil
}

// root follows what e waits for to where the trouble is. Broker.mu is held.
func (b *Broker) root(e *entry) *entry {
	for e.blockedOn != nil { // a ticket waits for an account, an account for its component
		e = e.blockedOn
	}
	return e
}

// stateError words why e has no living token. Broker.mu is held.
func (b *Broker) stateError(e *entry, now time.Time) *StateError {
	root := b.root(e)
	c := transition(root.cond, event{what: happenedDied}, now)
	s := &StateError{Key: e.key, State: c.state, Reason: c.reason, Errcode: c.errcode}
	if root != e {
		s.State = blockedState(c.state)
		s.Reason = fmt.Sprintf("%s is %s: %s", root.key, c.state, c.reason)
	}
	switch {
	case b.paused && (c.trouble == StateRetrying || c.trouble == StateUnknown):
		s.State, s.RetryAfter = StateRetrying, probeInterval
		if s.Reason == "" {
			s.Reason = b.pauseReason()
		}
	case c.state == StateWaitingTicket:
		s.Reason = b.ticketReason(root, now)
		s.RetryAfter = 10 * time.Second
	case s.Reason == "":
		s.Reason = "a token is being asked for; try again in a moment"
		s.RetryAfter = time.Second
	}
	if s.RetryAfter == 0 && s.Passing() {
		s.RetryAfter = max(time.Second, c.notBefore.Sub(now).Round(time.Second))
	}
	return s
}

// whyNot returns the *StateError of a key that has no token that WeChat takes.
func (b *Broker) whyNot(key Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	if e == nil {
		return unknown(key.AppID)
	}
	return b.stateError(e, b.clock.Now())
}

// Report says that WeChat refused a call that carried generation of key. If that
// generation is still in force a renewal starts and TokenAfter waits for it; if not,
// nothing happens. It returns false when the token will not be replaced now: forced
// renewals came too close together, or the call is at fault and not its token. It does
// not block.
func (b *Broker) Report(key Key, generation uint64, r Refusal) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	if e == nil {
		return true // nothing is in force; the next call loads it
	}
	t := e.token.Load()
	if t == nil || t.Generation != generation {
		return true
	}
	if generation == e.rejected {
		b.want(e) // known, and its successor is being tried for
		return true
	}
	now := b.clock.Now()
	if t.Alive(now) && !b.mayForceFor(e, t, r, now) {
		return false
	}
	b.log.Info("WeChat rejects a token; a renewal is wanted", "key", key.String(), "generation", generation, "errcode", r.Errcode, "path", clip(r.Path))
	e.suspect = t
	e.token.Store(nil)
	b.want(e)
	if trouble := b.root(e).cond.trouble; trouble != StateNeedsAuthorization && trouble != StateUnauthorized {
		b.releaseHopeless(e, now)
	}
	if e.rejected == generation { // its trouble was known, and shows from now on
		b.turn(e, event{what: happenedDied, alive: b.sound(e, now) != nil}, now)
	}
	return true
}

// mayForceFor reports whether the refusal of a call that carried e's living token t is
// to force a renewal, and notes and says why not. Broker.mu is held.
func (b *Broker) mayForceFor(e *entry, t *Token, r Refusal, now time.Time) bool {
	if r.Final {
		r.First = e.calls.faulty.firstRefused(r.Path, now)
	}
	served, idle := e.doubt(t, now)
	attrs := []any{"key", e.key.String(), "generation", t.Generation, "errcode", r.Errcode, "path", clip(r.Path)}
	switch {
	case r.refutes(t) || !r.First.IsZero() && e.confirmed(t, now):
		e.calls.faulty.found(r.Path, r.First, now, e.life())
		b.log.Warn("WeChat refuses a call again with a token that it has given since: the call is at fault, not the token", attrs...)
		return false
	case !e.calls.faulty.mayForce(r.Path, served, idle, now, e.life()):
		b.log.Debug("WeChat refuses a call that it refused lately whatever the token was; the token is kept", attrs...)
		return false
	case e.forced.take(now, e.life()):
		return true
	}
	b.metrics.Displaced(e.key.Kind.Label())
	cause := "somebody outside this sidecar renews it too"
	if e.calls.faulty.any(now) {
		cause += ", or WeChat refuses calls whatever their token"
	}
	b.log.Error("a token is rejected again and again although it is fresh: "+cause, attrs...)
	return false
}

// doubt notes that e's living token t was refused at now. It returns whether t has ever
// served a call, and the first refusal since it last did. Broker.mu is held.
func (e *entry) doubt(t *Token, now time.Time) (served bool, idle time.Time) {
	if e.calls.served.refused(t.Generation) || e.doubted != t.Generation {
		e.doubted, e.idle = t.Generation, now.UnixNano()
	}
	return e.calls.served.ever(t.Generation), time.Unix(0, e.idle)
}

// releaseHopeless gives the rejected token back where nothing can replace it within a
// caller's patience, as after a renewal that failed: one wrong answer of WeChat's must
// not take the key down until its quota is there again. Broker.mu is held.
func (b *Broker) releaseHopeless(e *entry, now time.Time) {
	if b.hopeless(e, now, now.Add(b.opts.Wait)) != nil {
		b.release(e, outcome{event: event{what: happenedFailed}})
	}
}

// held returns the living token of key without waiting, or nil.
func (b *Broker) held(key Key) *Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	if e == nil {
		return nil
	}
	now := b.clock.Now()
	t := b.sound(e, now)
	if t != nil {
		e.touch(now, t.Life())
	}
	return t
}
