package broker

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrUnknownAccount is what the broker returns for an appid that is neither
// configured nor authorised. Test with errors.Is.
var ErrUnknownAccount = errors.New("unknown account")

// AmbiguousError says that a merchant has authorised several components, and that nothing
// says which is meant.
type AmbiguousError struct {
	AppID string
	// Components are the appids of those that it may be, sorted.
	Components []string
}

// Error names the components.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s has authorised several components: %s", e.AppID, strings.Join(e.Components, ", "))
}

// StateError says that a key has no living token, and why.
type StateError struct {
	Key   Key
	State State
	// Reason is one sentence for people, without secrets: what is missing or what
	// WeChat answered, since when, and what to do.
	Reason string
	// Errcode is WeChat's code where one was the cause, else 0.
	Errcode int
	// RetryAfter is when it may be better; 0 when only a person can cure it.
	RetryAfter time.Duration
}

// Error returns "kind/appid: state: reason".
func (e *StateError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Key, e.State, e.Reason)
}

// Passing reports whether the state passes by itself. The others need a person:
// the merchant (unauthorized, needs_authorization) or the operator
// (misconfigured).
func (e *StateError) Passing() bool {
	switch e.State {
	case StateUnauthorized, StateNeedsAuthorization, StateMisconfigured:
		return false
	default:
		return true
	}
}
