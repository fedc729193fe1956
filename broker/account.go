package broker

import (
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Account names one account that calls can be for. A merchant that has authorised
// several components is as many accounts.
type Account struct {
	AppID string
	// Kind is KindComponent, KindAuthorizer or KindAccount.
	Kind Kind
	// Component is the appid of the component that the account authorised; a
	// component's own appid for a component; empty for an own account.
	Component string
}

// Key returns the key of the account's own token.
func (a Account) Key() Key {
	if a.Kind == KindAuthorizer {
		return authorizerKey(a.Component, a.AppID)
	}
	return Key{Kind: a.Kind, AppID: a.AppID}
}

// TicketKey returns the key of a ticket for the account's pages, of a kind for which
// [Kind.IsTicket] holds. A component has no pages, and the broker refuses its key.
func (a Account) TicketKey(kind Kind) Key {
	if a.Kind == KindAuthorizer {
		return Key{Kind: kind, AppID: a.AppID, Component: a.Component}
	}
	return Key{Kind: kind, AppID: a.AppID}
}

func authorizerKey(component, appID string) Key {
	return Key{Kind: KindAuthorizer, AppID: appID, Component: component}
}

func componentKey(appID string) Key { return Key{Kind: KindComponent, AppID: appID} }

// Choice says which account of an appid is meant, where a merchant has authorised several
// components. The zero value leaves it to what there is: the only authorization that the
// merchant has not taken back.
type Choice struct {
	// Component is the one that the call names; no other will do. Empty for none.
	Component string
	// Among are those that the caller may use; empty for all.
	Among []string
	// Default is taken where all else leaves several; empty for none.
	Default string
}

// ComponentConfig is a third-party platform that the broker is to serve.
type ComponentConfig struct {
	AppID  string
	Secret secret.Text
}

// AccountConfig is an own account that the broker is to serve with stable_token.
type AccountConfig struct {
	AppID  string
	Secret secret.Text
}
