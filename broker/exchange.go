package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// codeLife is how long an exchange is kept where the code's own end is not known.
const codeLife = time.Hour

// exchange is an authorization code that is to be exchanged, and what is known of it.
type exchange struct {
	component string
	code      secret.Text
	expires   time.Time // zero for unknown
	// authorized is when the merchant authorised.
	authorized time.Time
	with       []change // that go into the same write
}

// flight is an exchange under way, for all who come with its code.
type flight struct {
	done   chan struct{}
	answer []byte
	err    error
}

// queryAuth is [Broker.QueryAuth].
func (x *inbox) queryAuth(ctx context.Context, component string, code secret.Text) ([]byte, error) {
	c := x.components.get(component)
	if c == nil {
		return nil, unknown(component)
	}
	answer, err := awaitToken(ctx, c, func() ([]byte, error) {
		// In whole seconds, as WeChat's events tell theirs: one that takes the
		// authorization back within the second must not look older.
		now := x.clock.Now().Truncate(time.Second)
		answer, err := x.exchange(ctx, exchange{component: component, code: code, authorized: now})
		if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			// It goes on for whoever asks next.
			return nil, &wechat.NoAnswerError{Path: "api_query_auth", Err: wechat.ErrTimeUp, Sent: true}
		}
		return answer, err
	})
	return answer, exchangeFault(c.key(), err)
}

// exchangeFault says of an exchange that never came to WeChat that it is the exchange
// that failed: the store, say, has no part in it.
func exchangeFault(component Key, err error) error {
	var noAnswer *wechat.NoAnswerError
	if errors.As(err, &noAnswer) && !noAnswer.Sent {
		return &StateError{
			Key: component, State: StateRetrying, RetryAfter: time.Second,
			Reason: "the authorization code could not be exchanged: " + err.Error(),
		}
	}
	return err
}

// exchange makes an exchange, unless it was made, and returns WeChat's answer. Those who
// come with one code at once share one exchange.
func (x *inbox) exchange(ctx context.Context, e exchange) ([]byte, error) {
	name := codeName(e.component, e.code)
	x.mu.Lock()
	f, joined := x.flights[name]
	if !joined {
		f = &flight{done: make(chan struct{})}
		x.flights[name] = f
		go x.fly(context.WithoutCancel(ctx), f, name, e)
	}
	x.mu.Unlock()
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const (
	// exchangeLease is for how long one sidecar may exchange a code while the others wait.
	exchangeLease = 15 * time.Second
	exchangePoll  = 200 * time.Millisecond
)

// turnOf returns what was kept of the exchange of that name, or else the lease under which it
// may be made: a code works once, and another sidecar may come with it as well. While the
// store does not answer the exchange is made all the same, as its code would run out.
func (x *inbox) turnOf(ctx context.Context, name string) ([]byte, store.Lease, error) {
	for {
		if answer, ok := x.kept(ctx, name); ok {
			return answer, nil, nil
		}
		lease, err := x.lease(ctx, name, store.LeaseOptions{For: exchangeLease})
		var held *store.HeldError
		switch {
		case errors.As(err, &held):
		case err != nil:
			return nil, ownLease{}, nil
		default:
			if answer, ok := x.kept(ctx, name); ok {
				lease.Unlock()
				return answer, nil, nil
			}
			return nil, lease, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(exchangePoll):
		}
	}
}

// fly is the body of the goroutine that makes one exchange for all who wait.
func (x *inbox) fly(ctx context.Context, f *flight, name string, e exchange) {
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	f.answer, f.err = x.exchangeOnce(ctx, name, e)
	x.mu.Lock()
	delete(x.flights, name)
	x.mu.Unlock()
	close(f.done)
}

// awaitFlights returns once no exchange is under way.
func (x *inbox) awaitFlights() {
	for {
		var f *flight
		x.mu.Lock()
		for _, f = range x.flights {
			break
		}
		x.mu.Unlock()
		if f == nil {
			return
		}
		<-f.done
	}
}

func (x *inbox) exchangeOnce(ctx context.Context, name string, e exchange) ([]byte, error) {
	answer, lease, err := x.turnOf(ctx, name)
	if lease == nil {
		return answer, err
	}
	defer lease.Unlock()
	x.checkpoint("exchange-sending")
	sent := x.clock.Local()
	got, err := withToken(x.table, componentKey(e.component), "api_query_auth", func(token secret.Text) (wechat.Exchange, error) {
		return callInTurn(ctx, turn{lease: lease, call: callTimeout}, func(ctx context.Context) (wechat.Exchange, error) {
			return x.wechat.QueryAuth(ctx, e.component, token, e.code)
		})
	})
	if err != nil {
		return nil, err
	}
	x.checkpoint("exchange-answered")
	skew, _ := x.clock.Offset()
	obtained := sent.Add(skew)
	if e.expires.IsZero() {
		e.expires = obtained.Add(codeLife)
	}
	kept, err := keptChange(name, got.Answer, e.expires)
	if err != nil {
		return nil, err
	}
	key := authorizerKey(e.component, got.Authorizer.AppID)
	err = x.ledger.replace(ctx, key, func(r *record) { r.grant(got, obtained, e.authorized) }, append([]change{kept}, e.with...))
	x.checkpoint("exchange-saved")
	if err != nil {
		x.keepUnsaved(kept)
	}
	if err == nil || errors.Is(err, errUnsaved) {
		x.ledger.noteWrote(key, got.Grant.Token)
		x.authorized(key)
		return got.Answer, nil
	}
	// The code is spent. WeChat's list and info still know the account, and what
	// was exchanged goes to whoever asked.
	x.log.Error("an exchanged authorization could not be saved; it is asked for from WeChat anew", "component", e.component, "authorizer", key.AppID, "error", err)
	if c := x.components.get(e.component); c != nil {
		c.reconcile()
	}
	return got.Answer, nil
}
