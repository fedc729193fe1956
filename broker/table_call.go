package broker

import (
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// blockedError says that a call needs another key's token first.
type blockedError struct{ on Key }

func (e *blockedError) Error() string { return "waits for the token of " + e.on.String() }

// withToken calls f with a usable token of key, and reports the token if WeChat finds
// it stale. It never waits: without a token it returns a *blockedError, and the call
// is made again once there is one. A call of that name which is refused again then is
// at fault.
func withToken[T any](t *table, key Key, call string, f func(secret.Text) (T, error)) (T, error) {
	var none T
	token := t.usable(key)
	if token == nil {
		return none, &blockedError{on: key}
	}
	got, err := f(token.value)
	code := wechat.Code(err)
	if wechat.Stale(code) {
		if t.report(key, token.Generation, Refusal{Errcode: code, Path: call, Final: true}) {
			return none, &blockedError{on: key}
		}
	}
	if err == nil {
		token.Served([]byte(call), false)
	}
	return got, err
}
