package releasecheck

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// What WeChat writes to a test account, and what it expects behind it.
const (
	checkText   = "TESTCOMPONENT_MSG_TYPE_TEXT"
	textSuffix  = "_callback"
	eventSuffix = "from_callback"
	codePrefix  = "QUERY_AUTH_CODE:"
	codeSuffix  = "_from_api"
)

// Broker exchanges codes and holds the tokens that they give.
type Broker interface {
	// QueryAuth is [broker.Broker.QueryAuth]. Token gives the new token once it has returned.
	QueryAuth(ctx context.Context, component string, code secret.Text) ([]byte, error)
	// Token is [broker.Broker.Token].
	Token(ctx context.Context, key broker.Key) (*broker.Token, error)
	// Now returns WeChat's time.
	Now() time.Time
}

// Sender sends a customer message. [wechat.Client] is one.
type Sender interface {
	SendText(ctx context.Context, token secret.Text, user, content string) error
}

// Options are what a [Check] is made of. All but Log are needed.
type Options struct {
	Broker Broker
	Sender Sender
	// Log may be nil.
	Log *slog.Logger
}

// Check answers the release check. Make it with [New]. It is safe for concurrent use.
type Check struct {
	broker Broker
	sender Sender
	log    *slog.Logger
	codes  chan received
}

// New returns a check. It sends customer messages while [Check.Run] runs.
func New(o Options) *Check {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Check{broker: o.Broker, sender: o.Sender, log: o.Log, codes: make(chan received, maxCodes)}
}

// Before returns a handler that answers the release check and leaves all other messages to
// next.
func (c *Check) Before(next push.MessageHandler) push.MessageHandler { return handler{c, next} }

type handler struct {
	check *Check
	next  push.MessageHandler
}

// HandleMessage implements [push.MessageHandler].
func (h handler) HandleMessage(ctx context.Context, m *wechat.Message) ([]byte, error) {
	if m.Component == "" || !testAccounts[m.AppID] {
		return h.next.HandleMessage(ctx, m)
	}
	reply, err := h.check.answer(m)
	if errors.Is(err, errOther) {
		return h.next.HandleMessage(ctx, m)
	}
	h.check.log.Info("message of WeChat's release check", "component", m.Component, "appid", m.AppID, "msg_type", m.MsgType, "event", m.Event)
	return reply, err
}

// errOther is that a message to a test account is not one of the check's.
var errOther = errors.New("not one of the release check's messages")

// answer returns the reply to a message to a test account.
func (c *Check) answer(m *wechat.Message) ([]byte, error) {
	if m.Event != "" {
		return c.text(m, m.Event+eventSuffix), nil
	}
	content, err := contentOf(m)
	if err != nil {
		return nil, err
	}
	code, isCode := strings.CutPrefix(content, codePrefix)
	switch {
	case content == checkText:
		return c.text(m, checkText+textSuffix), nil
	case isCode:
		return nil, c.accept(received{m.Component, m.AppID, m.FromUserName, secret.New(code)})
	default:
		return nil, errOther
	}
}
