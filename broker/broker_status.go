package broker

import (
	"sort"
	"time"
)

// Status returns how each configured component and own account is, sorted by appid,
// those that live included. It is what /tokenz?verbose shows. It holds no secret, and its
// cost grows with what is configured, not with the authorizers.
func (b *Broker) Status() []KeyStatus {
	all := b.table.status(b.env.config.Load().secrets)
	for i := range all {
		key := Key{Kind: KindAccount, AppID: all[i].AppID}
		if all[i].Kind == KindComponent.String() {
			key = componentKey(all[i].AppID)
		}
		b.ledger.showRole(key, &all[i])
	}
	return all
}

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

// Coordination returns how this sidecar gets on with the others on a store that they share,
// and false for one that is alone.
func (b *Broker) Coordination() (CoordinationStatus, bool) {
	if b.env.coordination == nil {
		return CoordinationStatus{}, false
	}
	skew, _ := b.env.clock.Offset()
	return b.env.coordination.status(skew), true
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
	for appID, c := range b.components.list() {
		age, held := c.ticketAge()
		if !held {
			age = 0
		}
		all = append(all, TicketStatus{Component: appID, Age: age, Held: held})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Component < all[j].Component })
	return all
}
