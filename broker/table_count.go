package broker

import (
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// hidden are the troubles that a living token hides.
var hidden = []State{StateWaitingTicket, StateRetrying, StateNeedsAuthorization, StateQuotaExhausted, StateMisconfigured}

// The daily budgets of a key, as the metrics name them.
const (
	budgetForced    = "forced_renewals"
	budgetRefreshes = "force_refreshes" // of own accounts
)

// countedKinds are those whose labels differ: both sorts of ticket have one.
var countedKinds = []Kind{KindComponent, KindAuthorizer, KindAccount, KindJSAPITicket}

// kindCount is what is counted of the keys of one kind.
type kindCount struct {
	states, hidden    [len(stateNames)]int
	errcodes          map[int]int // of those that WeChat refused
	forced, refreshes float64     // the largest shares used
}

// count counts the keys in use for the metrics. The hit path, which takes no lock, does not
// wait for it.
func (t *table) count() *metrics.KeyCounts {
	c := &metrics.KeyCounts{}
	var counts [KindWXCardTicket + 1]*kindCount
	for _, k := range countedKinds {
		counts[k] = &kindCount{errcodes: map[int]int{}}
	}
	counts[KindWXCardTicket] = counts[KindJSAPITicket]
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for e := range t.entries.all() {
		counts[e.key.Kind].addLocked(e, now)
		c.Waiting += int(e.renewal.waiters)
	}
	c.Expiries = t.expiriesLocked(now)
	for _, k := range countedKinds {
		counts[k].show(c, k.Label())
	}
	return c
}

func (n *kindCount) addLocked(e *entry, now time.Time) {
	state := e.stateLocked(now)
	n.states[state]++
	if state == StateLive {
		n.hidden[e.cond.trouble]++
	}
	if e.cond.trouble != StateUnknown && e.cond.errcode != 0 {
		n.errcodes[e.cond.errcode]++
	}
	if m := e.mishaps; m != nil {
		n.forced = max(n.forced, m.quota.forced.share(now, forcedPerDay(e.lifeLocked())))
		n.refreshes = max(n.refreshes, m.rejection.refreshes.share(now, forceRefreshPerDay))
	}
}

// show adds n to c, with a zero for what there is none of.
func (n *kindCount) show(c *metrics.KeyCounts, kind string) {
	for _, s := range States()[1:] {
		c.Keys = append(c.Keys, metrics.KeyCount{Kind: kind, Label: s.String(), N: n.states[s]})
	}
	for _, s := range hidden {
		c.Troubled = append(c.Troubled, metrics.KeyCount{Kind: kind, Label: s.String(), N: n.hidden[s]})
	}
	for errcode, count := range n.errcodes {
		c.Refused = append(c.Refused, metrics.Refused{Kind: kind, Errcode: errcode, N: count})
	}
	c.Budgets = append(c.Budgets, metrics.Budget{Name: budgetForced, Kind: kind, Used: n.forced})
	if kind == KindAccount.Label() {
		c.Budgets = append(c.Budgets, metrics.Budget{Name: budgetRefreshes, Kind: kind, Used: n.refreshes})
	}
}

// expiriesLocked returns when the tokens of the components and own accounts die.
func (t *table) expiriesLocked(now time.Time) []metrics.Expiry {
	var all []metrics.Expiry
	for key := range t.config.Load().secrets {
		expiry := metrics.Expiry{Kind: key.Kind.Label(), AppID: key.AppID}
		if e := t.entries.find(key); e != nil {
			if token := e.heldLocked(now); token != nil {
				expiry.At = token.DiesAt()
			}
		}
		all = append(all, expiry)
	}
	return all
}
