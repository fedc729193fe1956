package broker

import (
	"sort"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Trouble is why the last renewal of a key failed. While a token lives, nobody else
// notices: it is the time in which a person can act.
type Trouble struct {
	// Cause is the state that the key will have once no token lives.
	Cause string `json:"cause"`
	// Errcode is WeChat's code where one was the cause, else 0.
	Errcode int       `json:"errcode,omitempty"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	// Why is one of [Whys], and Said what was answered, in the words of WeChat, of the network or
	// of the store; empty where the reason is ours. Reason has both, and what to do.
	Why  string `json:"why"`
	Said string `json:"said,omitempty"`
}

// newTrouble returns what stands against the next renewal of a key.
func newTrouble(key Key, c condition, since time.Time) *Trouble {
	code, said := why(key, c)
	return &Trouble{
		Cause: c.trouble.String(), Errcode: c.errcode, Reason: c.reason, Since: since.UTC().Truncate(time.Second), Why: code, Said: said,
	}
}

// KeyStatus says how a configured component or own account is.
type KeyStatus struct {
	Kind  string `json:"kind"`
	AppID string `json:"appid"`
	State string `json:"state"`
	// Reason says why there is no living token; empty while there is one.
	Reason     string `json:"reason,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	// ExpiresAt is when the token held dies, in WeChat's time; nil without one.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// Role says among sidecars that share a store who obtained the token in force: "writer"
	// for this one, "reader" for another. Fence is that of the lease under which it was.
	Role  string `json:"role,omitempty"`
	Fence uint64 `json:"fence,omitempty"`
	// Trouble is nil where the last renewal went well.
	Trouble *Trouble `json:"trouble,omitempty"`
}

// status returns how each of the keys is, sorted by appid.
func (t *table) status(keys map[Key]secret.Text) []KeyStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	all := []KeyStatus{}
	for key := range keys {
		if e := t.entries.find(key); e != nil {
			all = append(all, t.statusLocked(e, now))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].AppID < all[j].AppID })
	return all
}

func (t *table) statusLocked(e *entry, now time.Time) KeyStatus {
	s := KeyStatus{Kind: e.key.Kind.String(), AppID: e.key.AppID, State: StateLive.String(), Trouble: e.troubleLocked()}
	if token := e.heldLocked(now); token != nil {
		dies := token.DiesAt().UTC().Truncate(time.Second)
		s.Generation, s.ExpiresAt = token.Generation, &dies
	}
	if !e.liveLocked(now) {
		err := t.stateErrorLocked(e, now)
		s.State, s.Reason = err.State.String(), err.Reason
	}
	return s
}

// heldLocked returns the living token that is held, rejected or not; nil for none.
func (e *entry) heldLocked(now time.Time) *Token {
	token := e.token.Load()
	if token == nil {
		token = e.mishapsLocked().rejection.suspect
	}
	if !token.Alive(now) {
		return nil
	}
	return token
}

// troubleLocked returns what is known against the next renewal of e, nil for nothing.
func (e *entry) troubleLocked() *Trouble {
	if e.cond.trouble == StateUnknown {
		return nil
	}
	return newTrouble(e.key, e.cond, e.cond.troubled.time())
}

// liveLocked reports whether e shows as live: it has a usable token, or one that is being
// replaced without trouble.
func (e *entry) liveLocked(now time.Time) bool {
	return e.usableLocked(now) != nil || e.mishapsLocked().rejection.suspect.Alive(now) && e.cond.trouble == StateUnknown
}

// stateLocked is the state of e now: its condition may be older than its token's death.
func (e *entry) stateLocked(now time.Time) State {
	if e.cond.state == StateUnknown {
		return StateUnknown
	}
	return shown(e.cond, e.liveLocked(now))
}

// logLocked says how e is, where that changed.
func (t *table) logLocked(e *entry) {
	c := e.cond
	log := t.log.Info
	if c.trouble != StateUnknown && c.trouble != StateWaitingTicket {
		log = t.log.Warn
	}
	token := e.token.Load()
	generation := uint64(0)
	if token != nil {
		generation = token.Generation
	}
	attrs := []any{"key", e.key.String(), "state", c.state.String(), "generation", generation}
	if c.state == StateLive && c.trouble != StateUnknown && token != nil {
		attrs = append(attrs, "trouble", c.trouble.String(), "token_dies", token.DiesAt().UTC().Format(time.RFC3339))
	}
	if c.reason != "" {
		attrs = append(attrs, "reason", c.reason)
	}
	log("token state", attrs...)
}
