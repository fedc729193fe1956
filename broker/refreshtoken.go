package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// secondTryAfter is how long after the first refusal a refresh token is tried once
	// more that WeChat still shows: just after a displacement WeChat may refuse a good
	// one. Callers wait for less than twice as long.
	secondTryAfter = 3 * time.Second
	// firstTryMemory is how long that first refusal counts.
	firstTryMemory = 2 * time.Minute
)

// errNoRefreshToken says that WeChat shows none for an authorizer, as for an account
// without API permission.
var errNoRefreshToken = errors.New("WeChat shows no refresh token, neither in api_get_authorizer_info nor in the list")

// unconfirmedError says that WeChat has refused, once, a refresh token that it shows
// itself.
type unconfirmedError struct {
	err error
	// wait is how long until the second try.
	wait time.Duration
}

func (e *unconfirmedError) Error() string {
	return e.err.Error() + "; WeChat still shows this refresh token, so it is tried once more"
}

func (e *unconfirmedError) Unwrap() error { return e.err }

// firstTry is a refresh token that WeChat has refused once, and when. Nil is none.
type firstTry struct {
	refresh secret.Text
	at      time.Time
}

// confirmedBy reports whether another refusal of refresh at now is the second.
func (f *firstTry) confirmedBy(refresh secret.Text, now time.Time) bool {
	return f != nil && f.refresh.Equal(refresh) && now.Sub(f.at).Abs() < firstTryMemory
}

// replaceRefreshToken goes on after WeChat refused the token failed with 61023: with
// another one that WeChat shows, else with the same one a moment later. Only a second
// refusal is a verdict: the merchant must never authorise again because of one slip.
func (b *Broker) replaceRefreshToken(ctx context.Context, e *entry, rec *record, failed secret.Text, refusal error) (wechat.Grant, error) {
	refused := b.clock.Now()
	if e.refused.confirmedBy(failed, refused) {
		return wechat.Grant{}, &voidError{what: happenedRefreshVoid, err: refusal}
	}
	found, err := b.recoverRefreshToken(ctx, e, rec, failed)
	if err == nil {
		return b.authorizerToken(ctx, e, found)
	}
	var void *voidError
	if !errors.As(err, &void) || void.what != happenedRefreshVoid || rec.verdict == StateNeedsAuthorization {
		return wechat.Grant{}, err
	}
	e.refused = &firstTry{refresh: failed, at: refused}
	wait := secondTryAfter - b.clock.Now().Sub(refused)
	return wechat.Grant{}, &unconfirmedError{err: refusal, wait: max(wait, time.Millisecond)}
}

// recoverRefreshToken asks WeChat for the refresh token that it has on record, and
// keeps it before it is used: should that answer be lost, the older one must not
// be tried first again. failed is the one that did not work, empty for none.
func (b *Broker) recoverRefreshToken(ctx context.Context, e *entry, rec *record, failed secret.Text) (secret.Text, error) {
	found, err := b.shownRefreshToken(ctx, e, rec, failed)
	if err != nil {
		return secret.Text{}, err
	}
	_, err = b.update(ctx, e.key, func(r *record) bool {
		if r.generation != rec.generation || r.refreshToken.Equal(found) {
			return false
		}
		r.refreshToken, r.spare = found, secret.Text{}
		return true
	})
	if err != nil && !errors.Is(err, errUnsaved) {
		return secret.Text{}, err
	}
	return found, nil
}

// shownRefreshToken is what the account's info shows, or else the whole list. An info
// that was answered with nothing of use decides nothing: the list may help, but there is
// no verdict without it.
func (b *Broker) shownRefreshToken(ctx context.Context, e *entry, rec *record, failed secret.Text) (secret.Text, error) {
	ask := b.confirmedInfo
	if rec.verdict == StateUnauthorized {
		ask = b.authorizerInfo // it has been confirmed
	}
	info, err := ask(ctx, e.key)
	if wechat.Code(err) == wechat.CodeNotAuthorized {
		return secret.Text{}, &voidError{what: happenedRevoked, err: err}
	}
	var unusable *wechat.BadAnswerError
	if wechat.Code(err) != 0 || errors.As(err, &unusable) {
		if found, err := b.listedRefreshToken(ctx, e, rec, failed); err == nil {
			return found, nil
		}
	}
	if err != nil {
		return secret.Text{}, err
	}
	if found := info.RefreshToken; !found.IsZero() && !found.Equal(failed) {
		return found, nil
	}
	return b.listedRefreshToken(ctx, e, rec, failed)
}

// listedRefreshToken reads the whole list, at most once a minute for all keys
// together, and looks again.
func (b *Broker) listedRefreshToken(ctx context.Context, e *entry, rec *record, failed secret.Text) (secret.Text, error) {
	void := &voidError{what: happenedRefreshVoid, err: errNoRefreshToken}
	if !failed.IsZero() {
		void.err = &wechat.APIError{
			Path: "/cgi-bin/component/api_authorizer_token", Code: wechat.CodeRefreshTokenInvalid, Msg: "refresh_token is invalid",
		}
	}
	err := b.reconcileFor(ctx, e.key.Component)
	if errors.Is(err, errListTaken) && rec.verdict == StateNeedsAuthorization {
		return secret.Text{}, void // as before: the info shows no other, and the list has its next turn
	}
	if err != nil {
		return secret.Text{}, err
	}
	now, err := b.recordInForce(ctx, e)
	if err != nil {
		return secret.Text{}, err
	}
	for _, found := range []secret.Text{now.refreshToken, now.spare} {
		if !found.IsZero() && !found.Equal(failed) {
			return found, nil
		}
	}
	return secret.Text{}, void
}

// authorizerInfo asks for what WeChat has on record of an account, and what its refresh
// token is.
func (b *Broker) authorizerInfo(ctx context.Context, key Key) (wechat.Authorizer, error) {
	return withToken(b, componentKey(key.Component), "api_get_authorizer_info "+key.AppID, func(token secret.Text) (wechat.Authorizer, error) {
		return b.wechat.AuthorizerInfo(ctx, key.Component, token, key.AppID)
	})
}

// confirmedInfo is authorizerInfo, but asks once more where WeChat says that the account
// is not authorised: that may be a slip.
func (b *Broker) confirmedInfo(ctx context.Context, key Key) (wechat.Authorizer, error) {
	info, err := b.authorizerInfo(ctx, key)
	if wechat.Code(err) == wechat.CodeNotAuthorized {
		return b.authorizerInfo(ctx, key)
	}
	return info, err
}
