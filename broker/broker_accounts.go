package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// AccountQuery says which accounts are wanted. The zero value means the first fifty.
type AccountQuery struct {
	// Search is a part of the appid; one that begins with wx is its beginning.
	Search string
	// Kind is account or authorizer, and Component the appid of a component; empty for all.
	Kind, Component string
	// State is the name of a state, [AnyTrouble], or empty for all.
	State string
	// After is the Next of the page before; empty for the first.
	After string
	// Limit is how many are wanted; 0 means 50, and 500 is the most.
	Limit int
}

// AnyTrouble is the State of an [AccountQuery] for accounts whose last renewal failed,
// whether or not a token hides that.
const AnyTrouble = "trouble"

const (
	accountsDefault = 50
	accountsMost    = 500
	// scanTime is how long one page may look for matches. Then it ends, and the next
	// goes on: no query reads a large store to its end at once.
	scanTime = 400 * time.Millisecond
	scanPage = 1000
)

// AccountPage is a part of the accounts, own ones first, then authorizers, both in the order
// of appids.
type AccountPage struct {
	Accounts []AccountStatus `json:"accounts"`
	// Next is the After of the next page; empty at the end. A page with a Next may hold
	// fewer than the limit, even none: it looked at as many as time allowed.
	Next string `json:"next,omitempty"`
	// StoreError says that the store cannot be read, and that only accounts in use were
	// looked at; empty for no error.
	StoreError string `json:"store_error,omitempty"`
}

// ErrBadQuery is wrapped by the error of [Admin.Accounts] for a query that makes no sense.
var ErrBadQuery = errors.New("bad query")

// check returns what is wrong with q, and sets its defaults.
func (q *AccountQuery) check() error {
	isState := func(s State) bool { return s.String() == q.State }
	switch {
	case q.Limit < 0 || q.Limit > accountsMost:
		return fmt.Errorf("%w: limit is %d: give 1 to %d", ErrBadQuery, q.Limit, accountsMost)
	case q.State != "" && q.State != AnyTrouble && !slices.ContainsFunc(States(), isState):
		return fmt.Errorf("%w: state is %q: give %s, or one of %s", ErrBadQuery, q.State, AnyTrouble, strings.Join(stateNames[:], ", "))
	case q.Kind != "" && q.Kind != KindAccount.String() && q.Kind != KindAuthorizer.String():
		return fmt.Errorf("%w: kind is %q: give account or authorizer", ErrBadQuery, q.Kind)
	case q.After != "" && !strings.HasPrefix(q.After, ownPrefix) && !strings.HasPrefix(q.After, authorizerPrefix):
		return fmt.Errorf("%w: cursor: give the next of the page before", ErrBadQuery)
	}
	q.Limit = cmp.Or(q.Limit, accountsDefault)
	return nil
}

// The beginnings of the names of accounts' keys. They sort in this order.
const (
	ownPrefix        = "account/"
	authorizerPrefix = "authorizer/"
)

// wants reports whether a key is one of those asked for, as far as its name says.
func (q *AccountQuery) wants(key Key) bool {
	return (q.Kind == "" || q.Kind == key.Kind.String()) && (q.Component == "" || q.Component == key.Component) &&
		key.String() > q.After && strings.Contains(key.AppID, q.Search)
}

// wantsState is the same for what is known of it.
func (q *AccountQuery) wantsState(s *AccountStatus) bool {
	return q.State == "" || q.State == s.State || q.State == AnyTrouble && s.Trouble != nil
}

// inMemory reports whether only keys in use can be in the state asked for.
func (q *AccountQuery) inMemory() bool {
	switch q.State {
	case AnyTrouble, StateWaitingTicket.String(), StateRenewing.String(), StateRetrying.String(), StateMisconfigured.String():
		return true
	default:
		return false
	}
}

// Accounts returns a page of the accounts that q asks for: those in use, and those that only
// the store knows. The error wraps [ErrBadQuery], or is that of ctx.
func (a Admin) Accounts(ctx context.Context, q AccountQuery) (AccountPage, error) {
	if err := q.check(); err != nil {
		return AccountPage{}, err
	}
	p := &accountPager{Admin: a, q: q, now: a.b.Now()}
	p.page.Accounts = []AccountStatus{}
	for _, s := range a.OwnAccounts() {
		if q.wants(s.key) && q.wantsState(&s) {
			p.page.Accounts = append(p.page.Accounts, s)
		}
	}
	var err error
	if !q.inMemory() && q.Kind != KindAccount.String() {
		err = p.scan(ctx)
	}
	if err != nil {
		p.page.StoreError = "the store cannot be read, so that only accounts in use are listed: " + err.Error()
	}
	if err != nil || q.inMemory() {
		p.addInUse()
	}
	p.end()
	p.date(ctx)
	return p.page, ctx.Err()
}

// AccountsOf returns the accounts with that appid: an own account, or an authorization of
// each component, with their tickets for pages. It does not wait for a token. The error wraps
// [ErrUnknownAccount] where there is none, or is the store's.
func (a Admin) AccountsOf(ctx context.Context, appID string) ([]AccountStatus, error) {
	c := a.b.env.config.Load()
	if c.isOwn(appID) {
		return a.withTickets(ctx, []Key{{Kind: KindAccount, AppID: appID}})
	}
	keys := make([]Key, len(c.components))
	for i, id := range c.components {
		keys[i] = authorizerKey(id, appID)
	}
	all, err := a.withTickets(ctx, keys)
	if err == nil && len(all) == 0 {
		err = unknown(appID)
	}
	return all, err
}

// withTickets returns the status of those accounts that memory or the store knows.
func (a Admin) withTickets(ctx context.Context, accounts []Key) ([]AccountStatus, error) {
	var keys []Key
	for _, key := range accounts {
		keys = append(keys, key, key.account().TicketKey(KindJSAPITicket), key.account().TicketKey(KindWXCardTicket))
	}
	held := a.b.table.accounts(keys)
	recs, err := a.b.ledger.loadAll(ctx, keys)
	if err != nil && len(held) == 0 {
		return nil, err
	}
	all := []AccountStatus{}
	for i, key := range keys {
		s, inUse := held[key]
		rec := recs[key]
		switch {
		case !inUse && (rec == nil || !rec.known()):
			continue
		case !inUse:
			s = statusOf(key, rec, a.b.Now())
		case rec != nil:
			s.AuthorizedAt = shownTime(rec.authorized)
		}
		if i%3 == 0 {
			all = append(all, s)
		} else if n := len(all); n > 0 && all[n-1].key == key.account().Key() {
			all[n-1].Tickets = append(all[n-1].Tickets, s.KeyStatus)
		}
	}
	return all, nil
}
