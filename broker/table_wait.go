package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errDropped says that an entry is no longer the one in use for its key.
var errDropped = errors.New("the entry was dropped")

// await returns a living token of e, other than that of the generation spent, and
// waits for it if need be, until ctx ends, which is within Options.Wait. It returns
// errDropped if e is in use no longer.
func (t *table) await(ctx context.Context, e *entry, spent uint64) (*Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.renewal.waiters++
	defer func() { e.renewal.waiters-- }()
	end := t.clock.Now().Add(t.wait)
	for {
		if t.entries.find(e.key) != e {
			return nil, errDropped
		}
		now := t.clock.Now()
		e.touch(now, e.lifeLocked())
		if token := e.servedLocked(now, spent); token != nil {
			return token, nil
		}
		if err := t.hopelessLocked(e, now, end); err != nil {
			return nil, err
		}
		t.requestLocked(e)
		changed := e.changedLocked()
		t.mu.Unlock()
		select {
		case <-changed:
			t.mu.Lock()
		case <-ctx.Done():
			t.mu.Lock()
			if token := e.servedLocked(t.clock.Now(), spent); token != nil {
				return token, nil
			}
			return nil, t.stateErrorLocked(e, t.clock.Now())
		}
	}
}

// servedLocked returns the token that a call is given: one that lives, rejected or not,
// as for want of a better one it may yet be taken. Whoever had the generation spent
// rejected gets it again only if WeChat itself has given it once more.
func (e *entry) servedLocked(now time.Time, spent uint64) *Token {
	t := e.token.Load()
	if !t.Alive(now) || t.Generation == spent && e.mishapsLocked().rejection.unchanged != spent {
		return nil
	}
	return t
}

// hopelessLocked returns the error of a key that cannot get a token before end, so that
// nobody waits in vain.
func (t *table) hopelessLocked(e *entry, now, end time.Time) error {
	root := e.rootLocked()
	c := root.cond
	if root.renewal.running || now.After(c.notBefore.time()) {
		return nil
	}
	switch c.trouble {
	case StateUnauthorized, StateNeedsAuthorization, StateMisconfigured, StateQuotaExhausted:
		return t.stateErrorLocked(e, now)
	case StateRetrying:
		if !t.outage.paused && c.notBefore > instantOf(end) {
			return t.stateErrorLocked(e, now)
		}
	}
	return nil
}

// rootLocked follows what e waits for to where the trouble is: a ticket waits for an
// account, an account for its component.
func (e *entry) rootLocked() *entry {
	for e.blocking.on != nil {
		e = e.blocking.on
	}
	return e
}

// stateErrorLocked words why e has no living token.
func (t *table) stateErrorLocked(e *entry, now time.Time) *StateError {
	root := e.rootLocked()
	c := transition(root.cond, event{kind: eventDied}, now)
	s := &StateError{Key: e.key, State: c.state, Reason: c.reason, Errcode: c.errcode}
	if root != e {
		s.State = blockedState(c.state)
		s.Reason = fmt.Sprintf("%s is %s: %s", root.key, c.state, c.reason)
	}
	switch {
	case t.outage.paused && (c.trouble == StateRetrying || c.trouble == StateUnknown):
		s.State, s.RetryAfter = StateRetrying, probeInterval
		if s.Reason == "" {
			s.Reason = t.outage.reason()
		}
	case c.state == StateWaitingTicket:
		s.Reason = t.ticketReason(root.key.AppID, root.cond, now)
		s.RetryAfter = 10 * time.Second
	case s.Reason == "":
		s.Reason = "a token is being asked for; try again in a moment"
		s.RetryAfter = time.Second
	}
	if s.RetryAfter == 0 && s.Passing() {
		s.RetryAfter = max(time.Second, c.notBefore.time().Sub(now).Round(time.Second))
	}
	return s
}

// stateError returns the *StateError of a key that has no token that WeChat takes.
func (t *table) stateError(key Key) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil {
		return unknown(key.AppID)
	}
	return t.stateErrorLocked(e, t.clock.Now())
}
