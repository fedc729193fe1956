package broker

import (
	"context"
	"errors"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// preAuthCode asks for a code with which one merchant is sent to WeChat's authorization
// page.
func (c *component) preAuthCode(ctx context.Context) (wechat.Grant, error) {
	return awaitToken(ctx, c, func() (wechat.Grant, error) {
		return withToken(c.table, c.key(), "api_create_preauthcode", func(token secret.Text) (wechat.Grant, error) {
			return c.wechat.PreAuthCode(ctx, c.appID, token)
		})
	})
}

// awaitToken waits for the component's token and makes a call with it. If WeChat finds the
// token stale it waits for the next one and makes the call once more.
func awaitToken[T any](ctx context.Context, c *component, call func() (T, error)) (T, error) {
	var none T
	for range 2 {
		if _, err := c.directory.tokenAfter(ctx, c.key(), 0); err != nil {
			return none, err
		}
		got, err := call()
		var blocked *blockedError
		if !errors.As(err, &blocked) {
			return got, err
		}
	}
	return none, c.table.stateError(c.key())
}
