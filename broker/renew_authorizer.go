package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// secondTryAfter is how long after the first refusal a refresh token is tried once
	// more that WeChat still shows: just after a displacement WeChat may refuse a good
	// one. Callers wait for less than twice as long.
	secondTryAfter = 3 * time.Second
	// othersAtOnce is how many others may renew an authorizer at once, each with the refresh
	// token that came of the last: sidecars that cannot hear of each other.
	othersAtOnce = 4
	// firstTryMemory is how long that first refusal counts.
	firstTryMemory = 2 * time.Minute
)

// errNoRefreshToken says that WeChat shows none for an authorizer, as for an account
// without API permission.
var errNoRefreshToken = errors.New("WeChat shows no refresh token, neither in api_get_authorizer_info nor in the list")

// firstTry is a refresh token that WeChat has refused once, and when. Nil is none.
type firstTry struct {
	refresh secret.Text
	at      time.Time
}

// confirmedBy reports whether another refusal of refresh at now is the second.
func (f *firstTry) confirmedBy(refresh secret.Text, now time.Time) bool {
	return f != nil && f.refresh.Equal(refresh) && now.Sub(f.at).Abs() < firstTryMemory
}

// authorizerRenewal is one renewal of an authorizer's token.
type authorizerRenewal struct {
	*renewer
	e         *entry
	rec       *record
	component *component
	turn      turn
}

// fetchAuthorizer renews by the refresh token, and recovers a lost or void one
// from what WeChat itself has on record.
func (n *renewer) fetchAuthorizer(ctx context.Context, e *entry, rec *record, t turn) (wechat.Grant, error) {
	c := n.components.get(e.key.Component)
	if c == nil {
		return wechat.Grant{}, &blockedError{on: componentKey(e.key.Component)} // configured no longer
	}
	r := authorizerRenewal{renewer: n, e: e, rec: rec, component: c, turn: t}
	refresh := rec.refreshToken
	if refresh.IsZero() || rec.verdict != StateUnknown || t.solo { // another sidecar may have been given a newer one
		found, err := r.recoverRefreshToken(ctx, secret.Text{})
		if err != nil {
			return wechat.Grant{}, err
		}
		refresh = found
	}
	g, err := r.fetchBy(ctx, refresh)
	switch wechat.Code(err) {
	case wechat.CodeNotAuthorized:
		return wechat.Grant{}, r.confirmRevoked(ctx, err)
	case wechat.CodeRefreshTokenInvalid:
		return r.replaceRefreshToken(ctx, refresh, err)
	case wechat.CodePasswordChanged:
		if g, err = r.fetchBy(ctx, refresh); wechat.Code(err) == wechat.CodePasswordChanged {
			return wechat.Grant{}, &voidError{kind: eventRefreshVoid, err: err}
		}
	}
	return g, err
}

// fetchBy makes the one call. WeChat need not send a refresh token back; then the one that
// worked stays.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerAccessToken.html
func (r *authorizerRenewal) fetchBy(ctx context.Context, refresh secret.Text) (wechat.Grant, error) {
	key := r.e.key
	g, err := withToken(r.table, r.component.key(), "api_authorizer_token "+key.AppID, func(token secret.Text) (wechat.Grant, error) {
		return callInTurn(ctx, r.turn, func(ctx context.Context) (wechat.Grant, error) {
			return r.wechat.AuthorizerToken(ctx, key.Component, token, key.AppID, refresh)
		})
	})
	if err != nil {
		return g, err
	}
	r.e.refused = nil
	if g.RefreshToken.IsZero() {
		g.RefreshToken = refresh
	}
	return g, nil
}

// confirmRevoked asks once more in another way, as one 61003 may be a slip. The
// merchant must never authorise again because of us.
func (r *authorizerRenewal) confirmRevoked(ctx context.Context, cause error) error {
	_, err := r.component.info(ctx, r.e.key.AppID)
	switch {
	case wechat.Code(err) == wechat.CodeNotAuthorized:
		return &voidError{kind: eventRevoked, err: err}
	case err != nil:
		return err
	default:
		return fmt.Errorf("WeChat contradicts itself and is asked again: %w", cause)
	}
}

// replaceRefreshToken goes on after WeChat refused the token failed with 61023: with
// another one that WeChat shows, else with the same one a moment later. Only a second
// refusal is a verdict: the merchant must never authorise again because of one slip.
func (r *authorizerRenewal) replaceRefreshToken(ctx context.Context, failed secret.Text, refusal error) (wechat.Grant, error) {
	refused := r.clock.Now()
	if r.e.refused.confirmedBy(failed, refused) {
		return wechat.Grant{}, &voidError{kind: eventRefreshVoid, err: refusal}
	}
	found, err := r.recoverRefreshToken(ctx, failed)
	for range othersAtOnce {
		if err != nil {
			break
		}
		g, refused := r.fetchBy(ctx, found)
		if wechat.Code(refused) != wechat.CodeRefreshTokenInvalid {
			return g, refused
		}
		failed, refusal = found, refused // somebody was faster: WeChat shows the next one
		found, err = r.recoverRefreshToken(ctx, failed)
	}
	if err == nil {
		return wechat.Grant{}, refusal
	}
	var void *voidError
	if !errors.As(err, &void) || void.kind != eventRefreshVoid || r.rec.verdict == StateNeedsAuthorization {
		return wechat.Grant{}, err
	}
	r.e.refused = &firstTry{refresh: failed, at: refused}
	wait := secondTryAfter - r.clock.Now().Sub(refused)
	return wechat.Grant{}, &unconfirmedError{err: refusal, wait: max(wait, time.Millisecond)}
}

// recoverRefreshToken asks WeChat for the refresh token that it has on record, and
// keeps it before it is used: should that answer be lost, the older one must not
// be tried first again. failed is the one that did not work, empty for none.
func (r *authorizerRenewal) recoverRefreshToken(ctx context.Context, failed secret.Text) (secret.Text, error) {
	found, err := r.shownRefreshToken(ctx, failed)
	if err != nil {
		return secret.Text{}, err
	}
	_, err = r.ledger.update(ctx, r.e.key, func(rec *record) bool {
		if rec.generation != r.rec.generation || rec.refreshToken.Equal(found) {
			return false
		}
		rec.refreshToken, rec.spare = found, secret.Text{}
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
func (r *authorizerRenewal) shownRefreshToken(ctx context.Context, failed secret.Text) (secret.Text, error) {
	ask := r.component.confirmedInfo
	if r.rec.verdict == StateUnauthorized {
		ask = r.component.info // it has been confirmed
	}
	info, err := ask(ctx, r.e.key.AppID)
	if wechat.Code(err) == wechat.CodeNotAuthorized {
		return secret.Text{}, &voidError{kind: eventRevoked, err: err}
	}
	var unusable *wechat.BadAnswerError
	if wechat.Code(err) != 0 || errors.As(err, &unusable) {
		if found, err := r.listedRefreshToken(ctx, failed); err == nil {
			return found, nil
		}
	}
	if err != nil {
		return secret.Text{}, err
	}
	if found := info.RefreshToken; !found.IsZero() && !found.Equal(failed) {
		return found, nil
	}
	return r.listedRefreshToken(ctx, failed)
}

// listedRefreshToken reads the whole list, at most once a minute for all keys
// together, and looks again.
func (r *authorizerRenewal) listedRefreshToken(ctx context.Context, failed secret.Text) (secret.Text, error) {
	void := &voidError{kind: eventRefreshVoid, err: errNoRefreshToken}
	if !failed.IsZero() {
		void.err = &wechat.APIError{
			Path: "/cgi-bin/component/api_authorizer_token", Code: wechat.CodeRefreshTokenInvalid, Msg: "refresh_token is invalid",
		}
	}
	err := r.component.readListFor(ctx)
	if errors.Is(err, errListTaken) && r.rec.verdict == StateNeedsAuthorization {
		return secret.Text{}, void // as before: the info shows no other, and the list has its next turn
	}
	if err != nil {
		return secret.Text{}, err
	}
	now, err := r.ledger.current(ctx, r.e.key)
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
