package push

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// DefaultWindow is how far the timestamp of a push may be from now.
const DefaultWindow = 10 * time.Minute

// DefaultMaxConns is how many connections are open at once. WeChat needs a few. The rest
// keeps a flood of others from closing those too early.
const DefaultMaxConns = 16384

// Handler takes verified pushes. It must be safe for concurrent use.
type Handler interface {
	// HandlePush returns nil once what p says is durable. It must be idempotent:
	// a push whose answer got lost comes again. ctx ends after four seconds, as
	// WeChat waits for five.
	HandlePush(ctx context.Context, p wechat.Push) error
	// PushRefused is told that a push for component was refused, and why, in one
	// word, so that whoever waits for a ticket can be told. component is what the
	// path says, configured or not, and "" where it names none. It must not block.
	PushRefused(component, cause string)
	// Now returns WeChat's time, which timestamps are measured against.
	Now() time.Time
}

// ErrNoTarget is that nobody takes a message. It is no failure.
var ErrNoTarget = errors.New("no target takes the message")

// ErrEmptyReply is that a message is answered with an empty string, and not with success. It is
// no failure: WeChat's release check asks for it.
var ErrEmptyReply = errors.New("the reply is an empty string")

// MessageHandler takes verified messages. It must be safe for concurrent use.
type MessageHandler interface {
	// HandleMessage returns the plain reply to m; an empty one, or success, is none. It is in XML, or
	// in JSON, which becomes XML if m is XML. The reply is sent encrypted where m was. An
	// error is that nobody replied, which WeChat is not told: its user sees nothing. The
	// error is [ErrNoTarget] if nobody was asked, [ErrEmptyReply] for an empty string. HandleMessage is called once for all
	// repeats of m, must not keep or change m.Document, and ctx ends when there is no more
	// time to reply.
	HandleMessage(ctx context.Context, m *wechat.Message) (reply []byte, err error)
}

// Key is one pair of push_token and encoding_aes_key of a component.
type Key struct {
	Token, EncodingAESKey secret.Text
}

// Component is a third-party platform whose pushes are taken.
type Component struct {
	AppID string
	// Keys are the current pair, then those that are still accepted while a
	// change spreads. A part that is empty in a later pair is that of the first.
	// Any of the tokens goes with any of the keys: they may change apart.
	Keys []Key
}

// Account is an own account whose messages are taken.
type Account struct {
	AppID string
	// Key has no EncodingAESKey for an account in plain mode (明文模式). WeChat then signs
	// the parameters and not the body.
	Key Key
}

// Options are what a [Server] is made of. Handler is needed; the rest has useful
// zero values.
type Options struct {
	Components []Component
	Accounts   []Account
	Handler    Handler
	// Pages answers GET and HEAD of /wechat/<component>/authorize and /authorized for
	// configured components, with the head alone; nil refuses them like all that is no
	// push. The context of its requests ends after 20 seconds.
	Pages http.Handler
	// Messages may be nil: each message is then answered success.
	Messages MessageHandler
	// Memory remembers, for all sidecars that share it, which events and messages were handled,
	// and the replies to these; nil has each process remember its own. While it does not
	// answer, events fail, so that WeChat sends them again, and messages are handled by the
	// memory of the process alone, as a second delivery is better than none. Tickets do not
	// need it.
	Memory store.Memory
	// Seal seals the replies in Memory. It is needed with Memory.
	Seal *seal.Keyring
	// Window is how far a timestamp may be from Handler.Now, in the past or the
	// future; 0 means [DefaultWindow].
	Window time.Duration
	// Now is the local clock for deadlines; nil means time.Now.
	Now func() time.Time
	// MaxConns is how many connections are open at once; 0 means [DefaultMaxConns].
	MaxConns int
	// Metrics and Log may be nil.
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// BaseContext is the parent of the contexts that the handler gets; nil means
	// context.Background. Ending it fails the pushes under way.
	BaseContext context.Context
}

func (o Options) withDefaults() (Options, error) {
	if o.Handler == nil {
		return o, errors.New("push: Options.Handler is nil")
	}
	if o.Memory != nil && o.Seal == nil {
		return o, errors.New("push: Options.Seal is nil, and Options.Memory is not")
	}
	if o.Window < 0 {
		return o, errors.New("push: Options.Window is negative")
	}
	if o.MaxConns < 0 {
		return o, errors.New("push: Options.MaxConns is negative")
	}
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.BaseContext == nil {
		o.BaseContext = context.Background()
	}
	return o, nil
}
