package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/clock"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// ImportItem is what another system held: a merchant's refresh token or a component's ticket.
type ImportItem struct {
	Component string
	// AppID is the merchant's; empty for a ticket.
	AppID string
	Value secret.Text
	// At is when the merchant authorised, or when the ticket was pushed; zero where that is not
	// known.
	At time.Time
	// Listed is when WeChat was asked that showed this very refresh token; zero for one that WeChat
	// was not asked about.
	Listed time.Time
}

// name is that of the item's record.
func (i ImportItem) name() string {
	if i.AppID == "" {
		return platformPrefix + i.Component
	}
	return authorizerKey(i.Component, i.AppID).String()
}

// ImportResult says what becomes of an [ImportItem].
type ImportResult string

// What can become of an item.
const (
	// ImportNew is stored where there was nothing of use.
	ImportNew ImportResult = "new"
	// ImportReplaces takes the place of what is older, or void.
	ImportReplaces ImportResult = "replaces"
	// ImportHeld is in the store already.
	ImportHeld ImportResult = "held"
	// ImportKept leaves what the store has: it is newer, or came from WeChat itself. A refresh
	// token is kept beside it where there is room, and tried should the other fail.
	ImportKept ImportResult = "kept"
	// ImportGone is of a merchant who has taken the authorization back since.
	ImportGone ImportResult = "taken_back"
	// ImportExpired is a ticket that WeChat takes no longer.
	ImportExpired ImportResult = "expired"
	// ImportDropped is not stored, as there are two others of the merchant: the one in force, and the
	// spare.
	ImportDropped ImportResult = "dropped"
)

// ImportOptions are what [NewImporter] needs. Store and Seal must be set.
type ImportOptions struct {
	Store store.Store
	Seal  *seal.Keyring
	// Log gets what is wrong with records of the store; nil for nowhere.
	Log *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Importer puts what another system held into a store. It can be stopped and begun again at any
// time, also while sidecars run on a store that they share: it changes records by compare-and-set,
// and what is there already is passed over. It is not safe for concurrent use.
type Importer struct {
	ledger *ledger
	fresh  bool // nothing was ever stored there
}

// NewImporter checks that the store can be used with the keys. It writes nothing.
func NewImporter(ctx context.Context, o ImportOptions) (*Importer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &ledger{
		env:   &env{clock: clock.New(o.Now), metrics: metrics.New(""), log: o.Log},
		store: o.Store, seal: o.Seal,
	}
	version, current, err := l.checkSeal(ctx)
	if err != nil {
		return nil, err
	}
	fresh := version == store.Version{}
	if !current && !fresh {
		return nil, errors.New("the store was last used by an earlier version: start serve on it once, and import then")
	}
	l.recallSkew(ctx)
	return &Importer{ledger: l, fresh: fresh}, nil
}

// Now is WeChat's time, as far as the last sidecar on the store has measured it.
func (m *Importer) Now() time.Time { return m.ledger.clock.Now() }

// ComponentToken returns the component's access token that the store has, if it lives for a
// minute.
func (m *Importer) ComponentToken(ctx context.Context, component string) (secret.Text, bool) {
	rec, _, err := m.ledger.load(ctx, componentKey(component))
	if err != nil || rec.token.IsZero() || rec.dies.Before(m.Now().Add(time.Minute)) {
		return secret.Text{}, false
	}
	return rec.token, true
}

// Ticket returns the component's newest ticket in the store that is not too old.
func (m *Importer) Ticket(ctx context.Context, component string) (secret.Text, bool) {
	got, err := m.ledger.read(ctx, platformPrefix+component)
	if err != nil {
		return secret.Text{}, false
	}
	p := decodePlatform(got)
	t, ok := p.newest()
	return t.value, ok && m.Now().Sub(t.received) <= ticketLife
}
