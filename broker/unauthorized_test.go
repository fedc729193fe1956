package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func (w *world) revoke(appID string, at time.Time) {
	w.t.Helper()
	w.mustPush(wechat.Push{
		ID: "u" + at.String(), Component: componentID, InfoType: wechat.InfoUnauthorized,
		CreateTime: at, AuthorizerAppID: appID,
	})
}

func TestUnauthorized_TokensAreGoneAtOnce(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now())
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		w.mustCall(authorizerKey(merchant(1)))
		w.restart()
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		w.authorize(merchant(0))
		pass(time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestUnauthorized_AmidARenewalOfARejectedToken has the event overtake the answer
// to a renewal that a rejected token forced: neither the new token nor the rejected
// one may come back, and the verdict is not asked about at once.
func TestUnauthorized_AmidARenewalOfARejectedToken(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(authorizerPath, wechattest.Fault{Latency: 2 * time.Second})
		w.sim.Displace(merchant(0))
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.mustFail(key, broker.StateUnauthorized)
		}()
		pass(time.Second)
		w.revoke(merchant(0), time.Now())
		<-done
		pass(2 * time.Second)
		w.mustFail(key, broker.StateUnauthorized)
		if n := w.sim.Calls(infoPath); n != 0 {
			t.Errorf("WeChat was asked %d times about what it had just told", n)
		}
		w.sim.ClearFaults()
		pass(time.Minute)
		w.mustCall(key) // WeChat knows the authorization after all
	})
}

// TestUnauthorized_TicketsForPagesGoAsWell takes an authorization back, by the event
// and found out by a renewal, of an account whose tickets for pages are held.
func TestUnauthorized_TicketsForPagesGoAsWell(t *testing.T) {
	for _, told := range []bool{true, false} {
		lit(t, worldOptions{merchants: 2}, func(w *world) {
			ctx := context.Background()
			keys := []broker.Key{{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID}, {Kind: broker.KindWXCardTicket, AppID: merchant(0), Component: componentID}}
			other := broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(1), Component: componentID}
			must(w.broker.Token(ctx, other))
			for _, key := range keys {
				must(w.broker.Token(ctx, key))
			}
			w.sim.Revoke(componentID, merchant(0))
			if told {
				w.revoke(merchant(0), time.Now())
			} else {
				held := must(w.broker.Token(ctx, authorizerKey(merchant(0))))
				w.broker.Report(held.Key(), held.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
				w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
			}
			for range 2 {
				for _, key := range keys {
					start := time.Now()
					tok, err := w.broker.Token(ctx, key)
					var s *broker.StateError
					if !errors.As(err, &s) || s.State != broker.StateUnauthorized || time.Since(start) > time.Second {
						t.Errorf("told %t: %v, %v after %s", told, tok, err, time.Since(start))
					}
				}
				w.restart()
			}
			must(w.broker.Token(ctx, other))
			w.authorize(merchant(0))
			pass(time.Second)
			for _, key := range keys {
				if _, err := w.broker.Token(ctx, key); err != nil {
					t.Errorf("told %t: after authorising again: %v", told, err)
				}
			}
		})
	}
}

func TestUnauthorized_OlderThanTheAuthorizationIsVoid(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		before := time.Now()
		pass(time.Hour)
		w.authorize(merchant(0))
		pass(time.Second)
		w.revoke(merchant(0), before)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestUnauthorized_FoundOutAndForgotten(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Revoke(componentID, merchant(0)) // and the event is lost
		pass(2 * time.Hour)
		w.mustFail(key, broker.StateUnauthorized)
		calls := w.tokenCalls() + w.sim.Calls(infoPath)
		for range 100 {
			w.mustFail(key, broker.StateUnauthorized)
		}
		if n := w.tokenCalls() + w.sim.Calls(infoPath) - calls; n != 0 {
			t.Errorf("a verdict just given was asked for %d times", n)
		}
		w.sim.Authorize(componentID, merchant(0)) // and the event is lost too
		pass(7 * time.Hour)
		w.mustCall(key)
	})
}
