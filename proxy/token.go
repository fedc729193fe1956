package proxy

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// TokenSource is what the data path needs of the broker.
// [github.com/wxsidecar/wxsidecar/broker.Broker] implements it and says what each
// method promises. The texts that it is given may be kept.
type TokenSource interface {
	Token(ctx context.Context, key broker.Key) (*broker.Token, error)
	TokenAfter(ctx context.Context, key broker.Key, generation uint64) (*broker.Token, error)
	Report(key broker.Key, generation uint64, r broker.Refusal) bool
	Account(ctx context.Context, appid string, c broker.Choice) (broker.Account, error)
	OnlyAccount(ctx context.Context, c broker.Choice) (broker.Account, error)
	OnlyComponent() (string, bool)
	Now() time.Time
}

// token returns a living token of key; nil for a call that takes none.
func (s *Server) token(key broker.Key) (*broker.Token, *fault) {
	if key.Kind == 0 {
		return nil, nil
	}
	tok, err := s.source.Token(s.waiting(), key)
	if err != nil {
		return nil, brokerFault(err, key.AppID)
	}
	return tok, nil
}

// waitContext is a context that many calls share.
type waitContext struct {
	context.Context
	until time.Time
}

// waiting returns a context that ends in between tokenWait and a second more:
// one for all calls of a second, since one for each would be an allocation that
// nearly none of them needs.
func (s *Server) waiting() context.Context {
	now := s.now()
	if w := s.wait.Load(); w != nil && now.Before(w.until) {
		return w
	}
	// It ends by itself, so there is nothing to cancel early.
	ctx, cancel := context.WithTimeout(s.base, tokenWait+time.Second)
	context.AfterFunc(ctx, cancel)
	w := &waitContext{ctx, now.Add(time.Second)}
	s.wait.Store(w)
	return w
}
