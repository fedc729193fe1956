package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// codeLife is how long an exchange is kept where the code's own end is not known.
const codeLife = time.Hour

// exchanges lets those who come with one code at once share one exchange.
type exchanges struct {
	mu      sync.Mutex
	under   map[string]*exchangeFlight
	unsaved map[string]change // exchanges that the store did not take, by their record's name
}

// wait returns once no exchange is under way.
func (x *exchanges) wait() {
	for {
		var flight *exchangeFlight
		x.mu.Lock()
		for _, flight = range x.under {
			break
		}
		x.mu.Unlock()
		if flight == nil {
			return
		}
		<-flight.done
	}
}

type exchangeFlight struct {
	done   chan struct{}
	answer []byte
	err    error
}

// QueryAuth exchanges an authorization code for the component and returns
// WeChat's whole answer, tokens and all. A code that was exchanged already, by
// whomever, is answered from what was kept. It returns a *wechat.APIError for a
// code that WeChat refuses, a *wechat.NoAnswerError whose Sent is set or a
// *wechat.BadAnswerError where WeChat may have spent the code, and a *StateError without
// a component token or where WeChat cannot be reached. It waits until ctx ends, and
// never makes two exchanges of one code at once.
func (b *Broker) QueryAuth(ctx context.Context, component string, code secret.Text) ([]byte, error) {
	key := componentKey(component)
	var answer []byte
	var blocked *blockedError
	for range 2 { // WeChat may find the first token stale, as it may for any call
		if _, err := b.Token(ctx, key); err != nil {
			return nil, err
		}
		var err error
		// In whole seconds, as WeChat's events tell theirs: one that takes the
		// authorization back within the second must not look older.
		answer, err = b.exchange(ctx, component, code, time.Time{}, b.clock.Now().Truncate(time.Second))
		if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			// It goes on for whoever asks next.
			return nil, &wechat.NoAnswerError{Path: "api_query_auth", Err: wechat.ErrTimeUp, Sent: true}
		}
		if !errors.As(err, &blocked) {
			return answer, exchangeFault(key, err)
		}
	}
	return nil, b.whyNot(key)
}

// exchangeFault says of an exchange that never came to WeChat that it is the exchange
// that failed: the store, say, has no part in it.
func exchangeFault(component Key, err error) error {
	var silent *wechat.NoAnswerError
	if errors.As(err, &silent) && !silent.Sent {
		return &StateError{
			Key: component, State: StateRetrying, RetryAfter: time.Second,
			Reason: "the authorization code could not be exchanged: " + err.Error(),
		}
	}
	return err
}

// exchange is QueryAuth with what is known of the code, and with changes that go
// into the same write.
func (b *Broker) exchange(ctx context.Context, component string, code secret.Text, expires, authorized time.Time, with ...change) ([]byte, error) {
	name := codeName(component, code)
	b.exchanges.mu.Lock()
	flight, joined := b.exchanges.under[name]
	if !joined {
		flight = &exchangeFlight{done: make(chan struct{})}
		b.exchanges.under[name] = flight
		go b.fly(context.WithoutCancel(ctx), flight, name, component, code, expires, authorized, with)
	}
	b.exchanges.mu.Unlock()
	select {
	case <-flight.done:
		return flight.answer, flight.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly is the body of the goroutine that makes one exchange for all who wait.
func (b *Broker) fly(ctx context.Context, f *exchangeFlight, name, component string, code secret.Text, expires, authorized time.Time, with []change) {
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	f.answer, f.err = b.exchangeOnce(ctx, name, component, code, expires, authorized, with)
	b.exchanges.mu.Lock()
	delete(b.exchanges.under, name)
	b.exchanges.mu.Unlock()
	close(f.done)
}

func (b *Broker) exchangeOnce(ctx context.Context, name, component string, code secret.Text, expires, authorized time.Time, with []change) ([]byte, error) {
	if kept, ok := b.keptExchange(ctx, name); ok {
		return kept, nil
	}
	b.checkpoint("exchange-sending")
	sent := b.clock.Local()
	x, err := withToken(b, componentKey(component), "api_query_auth", func(token secret.Text) (wechat.Exchange, error) {
		return b.wechat.QueryAuth(ctx, component, token, code)
	})
	if err != nil {
		return nil, err
	}
	b.checkpoint("exchange-answered")
	skew, _ := b.clock.Offset()
	obtained := sent.Add(skew)
	if expires.IsZero() {
		expires = obtained.Add(codeLife)
	}
	kept, err := keep(name, x.Answer, expires)
	if err != nil {
		return nil, err
	}
	err = b.storeExchange(ctx, component, x, obtained, authorized, append([]change{kept}, with...))
	b.checkpoint("exchange-saved")
	if err != nil {
		b.exchanges.keepUnsaved(kept)
	}
	if err != nil && !errors.Is(err, errUnsaved) {
		// The code is spent. WeChat's list and info still know the account, and what
		// was exchanged goes to whoever asked.
		b.log.Error("an exchanged authorization could not be saved; it is asked for from WeChat anew", "component", component, "authorizer", x.Authorizer.AppID, "error", err)
		b.Reconcile(component)
	}
	return x.Answer, nil
}

// storeExchange writes the authorization, the kept answer and what else is given
// in one write, and lets memory follow. With an error that wraps errUnsaved memory has
// the authorization, and nothing else was done.
func (b *Broker) storeExchange(ctx context.Context, component string, x wechat.Exchange, obtained, authorized time.Time, with []change) error {
	key := authorizerKey(component, x.Authorizer.AppID)
	err := b.storeAuthorization(ctx, key, x, obtained, authorized, with)
	if err != nil && !errors.Is(err, errUnsaved) {
		return err
	}
	b.directory.changed()
	b.follow(key, event{what: happenedAuthorized})
	b.came(key)
	return err
}

func (b *Broker) storeAuthorization(ctx context.Context, key Key, x wechat.Exchange, obtained, authorized time.Time, with []change) error {
	defer b.locks.one(key)()
	e := b.inMemory(key)
	for range conflictTries {
		cur, base, err := b.current(ctx, key, e)
		if cur == nil {
			cur = &record{} // the store cannot be read: whatever it has, this is newer
		}
		next := *cur
		b.grantTo(&next, x, obtained, authorized)
		if err == nil {
			err = b.saveWith(ctx, key, base, &next, with)
		}
		switch {
		case err == nil:
			b.saved(e)
			b.adopt(e, &next)
			return nil
		case errors.Is(err, store.ErrConflict):
			with = b.stillOpen(ctx, with)
		default:
			return b.keepUnsaved(key, e, &next, err)
		}
	}
	return outpaced(key.String())
}

// saveWith is save with other changes in the same write.
func (b *Broker) saveWith(ctx context.Context, key Key, base uint64, rec *record, with []change) error {
	c, err := b.records.change(key, base, rec)
	if err != nil {
		return err
	}
	return b.records.write(ctx, append([]change{c}, with...)...)
}

// grantTo puts an exchange into r: a new authorization, whatever was before. A token
// that was obtained since the exchange was made is of that authorization too, and so
// is the refresh token that came with it: those of the exchange are older, and stay out.
func (b *Broker) grantTo(r *record, x wechat.Exchange, obtained, authorized time.Time) {
	if r.verdict == StateUnknown && !r.token.IsZero() && r.obtained.After(obtained) {
		r.authorized = later(r.authorized, authorized)
		return
	}
	r.forget()
	r.authorized = authorized
	r.refreshToken = x.Authorizer.RefreshToken
	r.used = obtained // a merchant who authorises is about to be served
	if x.Grant.Token.IsZero() {
		r.generation++
		return
	}
	b.fill(r, x.Grant, obtained, r.used)
}

// stillOpen drops from changes those that somebody else has made already.
func (b *Broker) stillOpen(ctx context.Context, changes []change) []change {
	var open []change
	for _, c := range changes {
		if _, generation, err := b.records.read(ctx, c.name); err == nil && generation == c.base {
			open = append(open, c)
		}
	}
	return open
}
