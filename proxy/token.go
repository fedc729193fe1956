package proxy

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// TokenSource is what the data path needs of the broker.
// [github.com/wxsidecar/wxsidecar/broker.Broker] implements it and says what each
// method promises. The texts that it is given may be kept, the bytes may not.
type TokenSource interface {
	Token(ctx context.Context, key broker.Key) (*broker.Token, error)
	TokenAfter(ctx context.Context, key broker.Key, generation uint64) (*broker.Token, error)
	Report(key broker.Key, generation uint64, r broker.Refusal) bool
	Known(appid []byte, c broker.Choice) *broker.Known
	Account(ctx context.Context, appid string, c broker.Choice) (broker.Account, error)
	OnlyAccount(ctx context.Context, c broker.Choice) (broker.Account, error)
	Components() []string
	Now() time.Time
	ProbeWeChat()
}

// callToken returns a valid token for a call, or nil for one that takes none.
func (s *Server) callToken(r *request) (*broker.Token, *fault) {
	if k := r.known; k != nil && k.Key() == r.cred.key {
		if tok := k.Token(); tok != nil {
			return tok, nil
		}
	}
	return s.token(r.cred.key)
}

// token returns a valid token of key, or nil for a key of none.
func (s *Server) token(key broker.Key) (*broker.Token, *fault) {
	if key.Kind == 0 {
		return nil, nil
	}
	tok, err := s.source.Token(s.tokenContext(), key)
	if err != nil {
		return nil, brokerFault(err, key.AppID)
	}
	return tok, nil
}

// tokenContext returns a context that ends after tokenWait to tokenWait plus a second. All
// calls of a second share one: nearly none of them waits, and a context for each would
// be an allocation on the hit path. A timer ends the second, so that a call need not read
// the clock for it.
func (s *Server) tokenContext() context.Context {
	if shared := s.tokenCtx.Load(); shared != nil {
		return *shared
	}
	// It ends by its deadline; nothing cancels it earlier.
	ctx, cancel := context.WithTimeout(s.base, tokenWait+time.Second)
	context.AfterFunc(ctx, cancel)
	s.tokenCtx.Store(&ctx)
	time.AfterFunc(time.Second, func() { s.tokenCtx.CompareAndSwap(&ctx, nil) })
	return ctx
}
