package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// blockedError says that a renewal needs another key's token first.
type blockedError struct{ on Key }

func (e *blockedError) Error() string { return "waits for the token of " + e.on.String() }

// voidError says that only the merchant can make the key live again.
type voidError struct {
	what happening // happenedRevoked or happenedRefreshVoid
	err  error
}

func (e *voidError) Error() string { return e.err.Error() }

func (e *voidError) Unwrap() error { return e.err }

// fetch asks WeChat for a new token of e. Nothing is stored.
func (b *Broker) fetch(ctx context.Context, e *entry, rec *record) (wechat.Grant, error) {
	switch e.key.Kind {
	case KindComponent:
		return b.fetchComponent(ctx, e)
	case KindAuthorizer:
		return b.fetchAuthorizer(ctx, e, rec)
	case KindAccount:
		return b.fetchAccount(ctx, e)
	default:
		return b.fetchTicket(ctx, e)
	}
}

// fetchAccount asks for the stable token; by force once WeChat has given the same
// token back although calls with it are refused.
func (b *Broker) fetchAccount(ctx context.Context, e *entry) (wechat.Grant, error) {
	return b.wechat.StableToken(ctx, e.key.AppID, b.secretOf(e.key), b.mayForce(e))
}

func (b *Broker) mayForce(e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if e.suspect == nil || e.suspect.Generation != e.unchanged || now.Before(e.forceAt) || !e.forces.take(now, forceRefreshPerDay) {
		return false
	}
	e.forceAt = now.Add(forceRefreshInterval)
	return true
}

// confirmed reports whether stable_token has given t once more after a refusal, and may
// not be made to give another one now. Broker.mu is held.
func (e *entry) confirmed(t *Token, now time.Time) bool {
	return t.Generation == e.unchanged && (now.Before(e.forceAt) || !e.forces.left(now, forceRefreshPerDay))
}

// fetchTicket asks for a ticket for pages with the account's token.
func (b *Broker) fetchTicket(ctx context.Context, e *entry) (wechat.Grant, error) {
	account, err := b.pageAccount(ctx, e.key)
	if err != nil {
		return wechat.Grant{}, err
	}
	kind := "jsapi"
	if e.key.Kind == KindWXCardTicket {
		kind = "wx_card"
	}
	return withToken(b, account, "getticket "+kind, func(token secret.Text) (wechat.Grant, error) {
		return b.wechat.Ticket(ctx, token, kind)
	})
}

// withToken calls f with a living token of key, and reports the token if WeChat finds
// it stale. It never waits: without a token the caller's key is blocked, and the call
// is made again once there is one. A call of that name which is refused again then is
// at fault.
func withToken[T any](b *Broker, key Key, call string, f func(secret.Text) (T, error)) (T, error) {
	var none T
	t := b.held(key)
	if t == nil {
		return none, &blockedError{on: key}
	}
	got, err := f(t.value)
	code := wechat.Code(err)
	if wechat.Stale(code) {
		if b.Report(key, t.Generation, Refusal{Errcode: code, Path: call, Final: true}) {
			return none, &blockedError{on: key}
		}
	}
	if err == nil {
		t.Served([]byte(call), false)
	}
	return got, err
}

// fetchAuthorizer renews by the refresh token, and recovers a lost or void one
// from what WeChat itself has on record.
func (b *Broker) fetchAuthorizer(ctx context.Context, e *entry, rec *record) (wechat.Grant, error) {
	refresh := rec.refreshToken
	if refresh.IsZero() || rec.verdict != StateUnknown {
		found, err := b.recoverRefreshToken(ctx, e, rec, secret.Text{})
		if err != nil {
			return wechat.Grant{}, err
		}
		refresh = found
	}
	g, err := b.authorizerToken(ctx, e, refresh)
	switch wechat.Code(err) {
	case wechat.CodeNotAuthorized:
		return b.confirmRevoked(ctx, e, err)
	case wechat.CodeRefreshTokenInvalid:
		return b.replaceRefreshToken(ctx, e, rec, refresh, err)
	case wechat.CodePasswordChanged:
		if g, err = b.authorizerToken(ctx, e, refresh); wechat.Code(err) == wechat.CodePasswordChanged {
			return wechat.Grant{}, &voidError{what: happenedRefreshVoid, err: err}
		}
	}
	return g, err
}

// authorizerToken makes the one call. WeChat need not send a refresh token back;
// then the one that worked stays.
func (b *Broker) authorizerToken(ctx context.Context, e *entry, refresh secret.Text) (wechat.Grant, error) {
	g, err := withToken(b, componentKey(e.key.Component), "api_authorizer_token "+e.key.AppID, func(token secret.Text) (wechat.Grant, error) {
		return b.wechat.AuthorizerToken(ctx, e.key.Component, token, e.key.AppID, refresh)
	})
	if err != nil {
		return g, err
	}
	e.refused = nil
	if g.RefreshToken.IsZero() {
		g.RefreshToken = refresh
	}
	return g, nil
}

// confirmRevoked asks once more in another way, as one 61003 may be a slip. The
// merchant must never authorise again because of us.
func (b *Broker) confirmRevoked(ctx context.Context, e *entry, cause error) (wechat.Grant, error) {
	_, err := b.authorizerInfo(ctx, e.key)
	switch {
	case wechat.Code(err) == wechat.CodeNotAuthorized:
		return wechat.Grant{}, &voidError{what: happenedRevoked, err: err}
	case err != nil:
		return wechat.Grant{}, err
	default:
		return wechat.Grant{}, fmt.Errorf("WeChat contradicts itself and is asked again: %w", cause)
	}
}
