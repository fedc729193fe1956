package broker

import (
	"sort"
	"time"
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
	// Trouble is nil where the last renewal went well.
	Trouble *Trouble `json:"trouble,omitempty"`
}

// Status returns how each configured component and own account is, sorted by appid,
// those that live included. It is what /tokenz?verbose shows. It holds no secret, and its
// cost grows with what is configured, not with the authorizers.
func (b *Broker) Status() []KeyStatus {
	keys := b.config.Load().secrets
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	all := []KeyStatus{}
	for key := range keys {
		if e := b.active[key]; e != nil {
			all = append(all, b.statusOf(e, now))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].AppID < all[j].AppID })
	return all
}

// statusOf is Status of one key. Broker.mu is held.
func (b *Broker) statusOf(e *entry, now time.Time) KeyStatus {
	s := KeyStatus{Kind: e.key.Kind.String(), AppID: e.key.AppID, State: StateLive.String(), Trouble: b.troubleOf(e)}
	t := e.token.Load()
	if t == nil {
		t = e.suspect
	}
	if t.Alive(now) {
		dies := t.DiesAt.UTC().Truncate(time.Second)
		s.Generation, s.ExpiresAt = t.Generation, &dies
	}
	if !b.living(e, now) {
		err := b.stateError(e, now)
		s.State, s.Reason = err.State.String(), err.Reason
	}
	return s
}

// troubleOf returns what is known against the next renewal of e, nil for nothing.
// Broker.mu is held.
func (b *Broker) troubleOf(e *entry) *Trouble {
	if e.cond.trouble == StateUnknown {
		return nil
	}
	return &Trouble{
		Cause: e.cond.trouble.String(), Errcode: e.cond.errcode, Reason: e.cond.reason,
		Since: e.cond.troubled.UTC().Truncate(time.Second),
	}
}

// logCondition says how e is, where that changed. Broker.mu is held.
func (b *Broker) logCondition(e *entry) {
	c := e.cond
	log := b.log.Info
	if c.trouble != StateUnknown && c.trouble != StateWaitingTicket {
		log = b.log.Warn
	}
	attrs := []any{"key", e.key.String(), "state", c.state.String(), "generation", b.generation(e)}
	if t := e.token.Load(); c.state == StateLive && c.trouble != StateUnknown && t != nil {
		attrs = append(attrs, "trouble", c.trouble.String(), "token_dies", t.DiesAt.UTC().Format(time.RFC3339))
	}
	if c.reason != "" {
		attrs = append(attrs, "reason", c.reason)
	}
	log("token state", attrs...)
}
