package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// HandlePush takes a verified push. It returns nil once what the push says is
// durable, was known already, or is of no interest here; only then may "success" be
// answered. The error wraps [ErrUnknownAccount] for a component that is not
// configured. Work that needs WeChat is done afterwards, and survives a crash.
func (b *Broker) HandlePush(ctx context.Context, p wechat.Push) error {
	b.env.checkpoint("push-begin")
	c := b.components.get(p.Component)
	if c == nil {
		return fmt.Errorf("%w: component %s is not configured", ErrUnknownAccount, p.Component)
	}
	switch p.InfoType {
	case wechat.InfoTicket:
		return c.takeTicket(ctx, p)
	case wechat.InfoUnauthorized:
		return b.directory.revoke(ctx, authorizerKey(c.appID, p.AuthorizerAppID), p.CreateTime, reasonPushed)
	case wechat.InfoAuthorized, wechat.InfoUpdateAuthorized,
		wechat.InfoFastRegister, wechat.InfoFastRegisterBeta, wechat.InfoFastVerifyBeta:
		return b.inbox.take(ctx, p)
	default:
		return nil
	}
}

// PushRefused notes that a push for a component came and was refused, and why, in one
// word: whoever waits for a ticket is told so, and what to do. One for an appid that
// is not configured, or for none, may be any component's.
func (b *Broker) PushRefused(appID, cause string) {
	note := &b.stray
	if c := b.components.get(appID); c != nil {
		note = &c.push
	}
	note.Store(&refusedPush{cause: cause, at: b.env.clock.Now()})
}

// QueryAuth exchanges an authorization code for the component and returns
// WeChat's whole answer, tokens and all. A code that was exchanged already, by
// whomever, is answered from what was kept. It returns a *wechat.APIError for a
// code that WeChat refuses, a *wechat.NoAnswerError whose Sent is set or a
// *wechat.BadAnswerError where WeChat may have spent the code, and a *StateError without
// a component token or where WeChat cannot be reached. It waits until ctx ends, and
// never makes two exchanges of one code at once.
func (b *Broker) QueryAuth(ctx context.Context, component string, code secret.Text) ([]byte, error) {
	return b.inbox.queryAuth(ctx, component, code)
}

// PreAuthCode asks WeChat for a pre_auth_code, with which one merchant is sent to the
// component's authorization page, and returns it and how long it is good. It returns
// [ErrUnknownAccount] for a component that is not configured, a *StateError without a
// component token, a *wechat.APIError for WeChat's refusal, and a *wechat.NoAnswerError or
// *wechat.BadAnswerError for no code. It waits until ctx ends. Each call counts against a
// quota of WeChat's.
func (b *Broker) PreAuthCode(ctx context.Context, component string) (secret.Text, time.Duration, error) {
	c := b.components.get(component)
	if c == nil {
		return secret.Text{}, 0, unknown(component)
	}
	grant, err := c.preAuthCode(ctx)
	return grant.Token, grant.Life, err
}

// AuthorizerInfo asks WeChat what it has on record of an authorizer of the component. Its
// errors are those of [Broker.PreAuthCode].
func (b *Broker) AuthorizerInfo(ctx context.Context, component, appID string) (wechat.Authorizer, error) {
	c := b.components.get(component)
	if c == nil {
		return wechat.Authorizer{}, unknown(component)
	}
	return awaitToken(ctx, c, func() (wechat.Authorizer, error) { return c.info(ctx, appID) })
}

// AuthorizationPending reports whether an authorization of the merchant by the component was
// pushed and its token cannot be used yet. Before Run has read what an earlier run left, it may
// report true for others as well. It does not block.
func (b *Broker) AuthorizationPending(component, appID string) bool {
	return b.inbox.isPending(authorizerKey(component, appID))
}

// learnedKept is how many things that apps' own calls showed may wait to be stored: four
// pages of the list of authorizers.
const learnedKept = 4 * wechat.ListPageSize

// learned is what an app's own call of the list or of an info has shown.
type learned struct {
	component  string
	authorizer wechat.Authorizer
	seen       time.Time
}

// Learn says that WeChat named refreshToken for an authorizer of the component, in
// an answer to an app. It does not wait for it to be stored. What can be neither an
// appid nor a token is passed over; what cannot be taken in now is found by reading the
// list.
func (b *Broker) Learn(component, appID string, refreshToken secret.Text) {
	if b.components.get(component) == nil || !wechat.ValidAppID(appID) || !wechat.ValidToken(refreshToken.Reveal()) {
		return
	}
	select {
	case b.learned <- learned{component, wechat.Authorizer{AppID: appID, RefreshToken: refreshToken}, b.env.clock.Now()}:
	default:
		b.Reconcile(component)
	}
}

// saveLearned stores what was learned until ctx ends.
func (b *Broker) saveLearned(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-b.learned:
			if c := b.components.get(l.component); c != nil {
				c.learn(ctx, l.authorizer, l.seen)
			}
		}
	}
}
