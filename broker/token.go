package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Kind says what sort of credential a [Key] names. The zero Kind names none.
type Kind uint8

// The kinds of credential that the broker keeps fresh.
const (
	// KindComponent is the third-party platform's own component_access_token.
	KindComponent Kind = iota + 1
	// KindAuthorizer is the authorizer_access_token of a merchant's account.
	KindAuthorizer
	// KindAccount is the stable access_token of an own account with its AppSecret.
	KindAccount
	// KindJSAPITicket is the jsapi_ticket of an authorizer or an own account.
	KindJSAPITicket
	// KindWXCardTicket is the wx_card api_ticket of an authorizer or an own account.
	KindWXCardTicket
)

var kindNames = [...]string{"none", "component", "authorizer", "account", "jsapi_ticket", "wx_card_ticket"}

// String returns the kind's name as logs and the store have it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// Label returns the kind's value of the metric label "kind": component,
// authorizer, account or ticket.
func (k Kind) Label() string {
	if k.IsTicket() {
		return "ticket"
	}
	return k.String()
}

// IsTicket reports whether the kind is a ticket for pages, which is derived from
// an account's token.
func (k Kind) IsTicket() bool { return k == KindJSAPITicket || k == KindWXCardTicket }

// carriesSecret reports whether the call that gives the kind carries an AppSecret: errcode
// 40001 then means that the secret is wrong.
func (k Kind) carriesSecret() bool { return k == KindComponent || k == KindAccount }

// Key names one credential. Its String is also the name of its record in the
// [store.Store].
type Key struct {
	Kind  Kind
	AppID string
	// Component is the appid of the component that an authorizer has authorised: a
	// merchant may authorise several, and what it gave to one never serves another. A
	// ticket for an authorizer's pages has it too. It is empty for all else.
	Component string
}

// String returns "kind/appid", or "kind/appid/component" where there is a component.
func (k Key) String() string {
	if k.Component == "" {
		return k.Kind.String() + "/" + k.AppID
	}
	return k.Kind.String() + "/" + k.AppID + "/" + k.Component
}

// keyOf is the Key of that kind whose String ends in name.
func keyOf(kind Kind, name string) Key {
	appID, component, _ := strings.Cut(name, "/")
	return Key{Kind: kind, AppID: appID, Component: component}
}

// account returns what is known of the account of the key. A ticket's is the account
// that it is derived from.
func (k Key) account() Account {
	switch {
	case k.Kind == KindComponent:
		return Account{AppID: k.AppID, Kind: KindComponent, Component: k.AppID}
	case k.Component != "":
		return Account{AppID: k.AppID, Kind: KindAuthorizer, Component: k.Component}
	default:
		return Account{AppID: k.AppID, Kind: KindAccount}
	}
}

// Token is one value that WeChat gave for a key, and its life. What it says is
// immutable, and it is safe for concurrent use; fmt, slog and encoding/json show its
// key and generation, never its value.
type Token struct {
	key   *Key // of the entry: tokens are kept small
	value secret.Text
	calls *keyCalls // what calls showed of its key; nil where that is not kept
	// Generation grows by one with each new value of the key, on whichever
	// replica it was obtained. It never goes back.
	Generation uint64
	// ObtainedAt and DiesAt are in WeChat's time (see [Broker.Now]). DiesAt is
	// computed from expires_in, never assumed.
	ObtainedAt, DiesAt time.Time
}

// NewToken returns a token of key with that value. The broker makes its own; this
// is for what stands in for a broker in tests.
func NewToken(key Key, value secret.Text, generation uint64, obtained, dies time.Time) *Token {
	return &Token{key: &key, value: value, Generation: generation, ObtainedAt: obtained, DiesAt: dies}
}

// Key returns the key that the token belongs to.
func (t *Token) Key() Key { return *t.key }

// Value returns the token's text, as WeChat gave it. It goes to WeChat or, with
// tokens.expose, to the app; nowhere else.
func (t *Token) Value() string { return t.value.Reveal() }

// Served says that WeChat took the token in an app's call of path; cured, that the
// call had been refused with an older one. It takes no lock and costs no allocation,
// unless that call is remembered as one that WeChat refuses whatever its token.
func (t *Token) Served(path []byte, cured bool) {
	if t.calls != nil {
		t.calls.served.note(t.Generation)
		t.calls.faulty.succeeded(path, cured)
	}
}

// Life returns how long the token lives in all.
func (t *Token) Life() time.Duration { return t.DiesAt.Sub(t.ObtainedAt) }

// Alive reports whether a token exists and has not died at now, which is in
// WeChat's time. It may be called on nil.
func (t *Token) Alive(now time.Time) bool { return t != nil && now.Before(t.DiesAt) }

// String names the token by its key and generation.
func (t *Token) String() string {
	if t == nil {
		return "none"
	}
	return fmt.Sprintf("%s generation %d", t.key, t.Generation)
}

// GoString is String, for %#v.
func (t *Token) GoString() string { return t.String() }

// LogValue is String, for log/slog.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
