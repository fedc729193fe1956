package broker

import "github.com/wxsidecar/wxsidecar/broker/secret"

// Account is what the broker knows of one appid. It is a value: a copy taken
// at one moment.
type Account struct {
	AppID string
	// Kind is KindComponent, KindAuthorizer or KindAccount.
	Kind Kind
	// Component is the appid of the component that the account authorised; a
	// component's own appid for a component; empty for an own account.
	Component string
}

// Key returns the key of the account's own token.
func (a Account) Key() Key { return Key{Kind: a.Kind, AppID: a.AppID} }

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
