package releasecheck

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

const (
	// maxCodes is how many codes wait. A release check has two.
	maxCodes = 16
	// sendTimeout bounds the exchange of one code and its message.
	sendTimeout = 15 * time.Second
)

var errTooMany = errors.New("16 codes wait already")

// received is a code that WeChat sent in a message to a test account.
type received struct {
	component, appID, user string
	code                   secret.Text
}

// accept queues a code. The message is answered first, as WeChat wants.
func (c *Check) accept(r received) error {
	select {
	case c.codes <- r:
		return push.ErrEmptyReply
	default:
		return errTooMany
	}
}

// Run exchanges the codes that came and sends the customer messages, one after the other,
// until ctx ends.
func (c *Check) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-c.codes:
			c.send(ctx, r)
		}
	}
}

func (c *Check) send(ctx context.Context, r received) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	log := c.log.With("component", r.component, "appid", r.appID)
	if err := c.exchangeAndSend(ctx, r); err != nil {
		log.Warn("release check failed; run it again in WeChat's console", "error", err)
		return
	}
	log.Info("release check: customer message sent")
}

func (c *Check) exchangeAndSend(ctx context.Context, r received) error {
	if _, err := c.broker.QueryAuth(ctx, r.component, r.code); err != nil {
		return err
	}
	token, err := c.broker.Token(ctx, broker.Key{Kind: broker.KindAuthorizer, AppID: r.appID, Component: r.component})
	if err != nil {
		return err
	}
	return c.sender.SendText(ctx, secret.New(token.Value()), r.user, r.code.Reveal()+codeSuffix)
}
