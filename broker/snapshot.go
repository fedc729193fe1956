package broker

import (
	"sort"
	"time"
)

// Missing says of one key why it holds no living token.
type Missing struct {
	Kind   string `json:"kind"`
	AppID  string `json:"appid"`
	State  string `json:"state"`
	Reason string `json:"reason"`
}

// Missing returns the components and own accounts without a living token, sorted
// by appid; empty when all have one. It is what /tokenz shows.
func (b *Broker) Missing() []Missing {
	missing := []Missing{}
	for _, s := range b.Status() {
		if s.State != StateLive.String() {
			missing = append(missing, Missing{Kind: s.Kind, AppID: s.AppID, State: s.State, Reason: s.Reason})
		}
	}
	return missing
}

// living reports whether e has a usable token, or one that is being replaced without
// trouble. Broker.mu is held.
func (b *Broker) living(e *entry, now time.Time) bool {
	return b.sound(e, now) != nil || e.suspect.Alive(now) && e.cond.trouble == StateUnknown
}

// hidden are the troubles that a living token hides.
var hidden = []State{StateWaitingTicket, StateRetrying, StateNeedsAuthorization, StateQuotaExhausted, StateMisconfigured}

// countKeys counts the keys in use by kind and state, and those that live by kind and
// the trouble that shows once they do not, for the metrics.
func (b *Broker) countKeys(keys, troubled func(kind, state string, n int)) {
	// Both sorts of ticket have one label.
	kinds := []Kind{KindComponent, KindAuthorizer, KindAccount, KindJSAPITicket}
	type count struct{ all, hidden []int }
	counts := map[string]count{}
	for _, k := range kinds {
		counts[k.Label()] = count{make([]int, len(stateNames)), make([]int, len(stateNames))}
	}
	b.mu.Lock()
	now := b.clock.Now()
	for key, e := range b.active {
		c, state := counts[key.Kind.Label()], b.stateOf(e, now)
		c.all[state]++
		if state == StateLive {
			c.hidden[e.cond.trouble]++
		}
	}
	b.mu.Unlock()
	for _, k := range kinds {
		for _, s := range States()[1:] {
			keys(k.Label(), s.String(), counts[k.Label()].all[s])
		}
		for _, s := range hidden {
			troubled(k.Label(), s.String(), counts[k.Label()].hidden[s])
		}
	}
}

// stateOf is the state of e now: its condition may be older than its token's
// death. Broker.mu is held.
func (b *Broker) stateOf(e *entry, now time.Time) State {
	if e.cond.state == StateUnknown {
		return StateUnknown
	}
	return shown(e.cond, b.living(e, now))
}

// TicketStatus says how old a component's newest component_verify_ticket is.
type TicketStatus struct {
	Component string
	// Age is 0 with Held false when there is none.
	Age  time.Duration
	Held bool
}

// Tickets returns the state of the configured components' tickets, sorted by appid.
// WeChat pushes one every ten minutes.
func (b *Broker) Tickets() []TicketStatus {
	var all []TicketStatus
	for appID, c := range b.configured() {
		age, held := b.ticketAge(c)()
		if !held {
			age = 0
		}
		all = append(all, TicketStatus{Component: appID, Age: age, Held: held})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Component < all[j].Component })
	return all
}

// ticketAge returns what tells the age of a component's newest ticket.
func (b *Broker) ticketAge(c *component) func() (time.Duration, bool) {
	return func() (time.Duration, bool) {
		c.mu.Lock()
		t, ok := c.last.newest()
		c.mu.Unlock()
		return b.clock.Now().Sub(t.received), ok
	}
}
