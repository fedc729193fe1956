package imports

import (
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Kind says what was found.
type Kind string

// The kinds. An access token of the platform is of use only to ask WeChat about the others.
const (
	KindRefreshToken   Kind = "refresh_token"
	KindTicket         Kind = "ticket"
	KindComponentToken Kind = "component_token"
)

// Finding is one thing that a source holds.
type Finding struct {
	Kind Kind
	// Component is the appid of the platform; empty where the source does not say.
	Component string
	// AppID is the merchant's; empty for what is the platform's own.
	AppID string
	// Value is zero where there is none: an account without API permission has no refresh token.
	Value secret.Text
	// At is when the merchant authorised, or when the ticket was pushed; zero where the source
	// does not say.
	At time.Time
	// Dies is when an access token dies; zero where the source does not say.
	Dies time.Time
	// Where is the place in the source: a key, a file, a line.
	Where string
	// Fault says why it cannot be used; empty for what can.
	Fault string
}

// maxFindings is more than a platform has merchants. What is found must fit into memory.
const maxFindings = 1_000_000

// ErrTooMany says that a source has more than can be imported at once.
var ErrTooMany = errors.New("the source has more than 1,000,000 entries: is it the right one?")

// checked returns f with its fault, if it has one that is seen from f alone.
func (f Finding) checked() Finding {
	switch {
	case f.Fault != "":
	case f.Kind == KindRefreshToken && !wechat.ValidAppID(f.AppID):
		f.AppID, f.Fault = "", "no appid of a merchant stands there"
	case f.Component != "" && !wechat.ValidAppID(f.Component):
		f.Component, f.Fault = "", "what stands there as the platform is no appid"
	case f.Value.IsZero(): // as of an account without API permission
	case !wechat.ValidToken(f.Value.Reveal()):
		f.Fault = "the value is not one printable word, as WeChat's are"
	}
	if f.Fault != "" {
		f.Value = secret.Text{}
	}
	return f
}
