package broker

import "strings"

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

// keyNamed is the Key whose String is name, and false where name is no key's.
func keyNamed(name string) (Key, bool) {
	prefix, rest, _ := strings.Cut(name, "/")
	for _, kind := range []Kind{KindComponent, KindAuthorizer, KindAccount, KindJSAPITicket, KindWXCardTicket} {
		if kind.String() == prefix && rest != "" {
			return keyOf(kind, rest), true
		}
	}
	return Key{}, false
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
