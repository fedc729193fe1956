package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestRejected_OnePassingFailureIsWaitedOut(t *testing.T) {
	for _, fault := range []wechattest.Fault{
		{Errcode: -1}, {Status: 500}, {Mode: wechattest.HTML}, {Mode: wechattest.ResetAfter},
	} {
		lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
			fault.Times = 1
			w.sim.Fault(authorizerPath, fault)
			w.sim.Fault(stablePath, fault)
			w.sim.Displace(merchant(0))
			w.sim.Displace(ownID)
			w.mustCall(authorizerKey(merchant(0)))
			w.mustCall(ownKey)
		})
	}
}

func TestRejected_IsNotShownAsLive(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 40164})
		w.sim.Displace(ownID)
		w.mustFail(ownKey, broker.StateMisconfigured)
		missing := w.broker.Missing()
		if len(missing) != 1 || missing[0].AppID != ownID || missing[0].State != "misconfigured" {
			t.Errorf("missing: %+v", missing)
		}
		if n := w.metric("wxsidecar_keys", "kind", "account", "state", "misconfigured"); n != 1 {
			t.Errorf("%g own accounts are counted as misconfigured, want 1", n)
		}
		w.sim.ClearFaults()
		pass(4 * time.Minute)
		if missing := w.broker.Missing(); len(missing) != 0 {
			t.Errorf("missing after the cure: %+v", missing)
		}
		w.mustCall(ownKey)
	})
}

func TestRejected_ComponentThatCannotBeRenewed(t *testing.T) {
	lit(t, worldOptions{merchants: 3}, func(w *world) {
		w.sim.Fault(componentPath, wechattest.Fault{Errcode: 40125})
		w.sim.ExpireAllTokens()
		calls := w.sim.Calls("")
		for i := range 3 {
			w.mustFail(authorizerKey(merchant(i)), broker.StateMisconfigured)
		}
		pass(time.Minute)
		if n := w.sim.Calls("") - calls; n > 20 {
			t.Errorf("%d calls although nothing can help", n)
		}
		if missing := w.broker.Missing(); len(missing) != 1 || missing[0].State != "misconfigured" {
			t.Errorf("missing: %+v", missing)
		}
		w.sim.ClearFaults()
		w.broker.Renew(platformKey)
		pass(time.Second)
		for i := range 3 {
			w.mustCall(authorizerKey(merchant(i)))
		}
	})
}

func TestOutage_IsNamedToWhoWaits(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.silence()
		pass(3 * time.Hour)
		s := w.mustFail(authorizerKey(merchant(0)), broker.StateRetrying)
		if !strings.Contains(s.Reason, "answer") || s.RetryAfter == 0 {
			t.Errorf("%+v", s)
		}
		w.sim.ClearFaults()
	})
}

func TestAuthorized_CallsWaitForTheExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Latency: time.Second})
		w.authorize(merchant(1))
		w.mustCall(authorizerKey(merchant(1)))
		w.sim.ClearFaults()
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: -1})
		w.authorize(merchant(2))
		_, err := w.broker.Account(context.Background(), merchant(2), broker.Choice{})
		var s *broker.StateError
		if !errors.As(err, &s) || !s.Passing() || !strings.Contains(s.Reason, "being exchanged") {
			t.Errorf("an account whose exchange fails: %v", err)
		}
		w.sim.ClearFaults()
		pass(2 * time.Minute)
		w.mustCall(authorizerKey(merchant(2)))
	})
}

func TestAuthorized_ComingToNothingEndsTheWait(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61009})
		w.sim.Fault(infoPath, wechattest.Fault{Errcode: 61003})
		w.authorize(merchant(50))
		w.sim.Revoke(componentID, merchant(50)) // at once
		pass(time.Second)
		start := time.Now()
		if _, err := w.broker.Account(context.Background(), merchant(50), broker.Choice{}); !errors.Is(err, broker.ErrUnknownAccount) || time.Since(start) != 0 {
			t.Errorf("an authorization that came to nothing: %v after %s", err, time.Since(start))
		}
		w.sim.ClearFaults()
	})
}

func TestIdle_ScalesWithTheTokensLife(t *testing.T) {
	o := worldOptions{merchants: 1, sim: wechattest.Options{TokenLife: 12 * time.Second}}
	lit(t, o, func(w *world) {
		key := authorizerKey(merchant(0))
		if failed := w.keepCalling([]broker.Key{key}, time.Minute, time.Second/2); failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		before := w.sim.Calls(authorizerPath)
		pass(15 * time.Second) // less than two lives
		if n := w.sim.Calls(authorizerPath) - before; n == 0 {
			t.Error("a key in use was not renewed ahead")
		}
	})
}

// TestRejected_OldTokenIsGivenWhereTheComponentFails has an authorizer's renewal wait
// for its component, which fails: nothing better than the old token is to be had.
func TestRejected_OldTokenIsGivenWhereTheComponentFails(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		old := must(w.broker.Token(context.Background(), key))
		w.sim.Fault(componentPath, wechattest.Fault{Errcode: -1})
		w.sim.Displace(componentID)
		w.broker.Report(key, old.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
		pass(time.Second / 2)
		if got, err := w.broker.Token(context.Background(), key); err != nil || got.Generation != old.Generation {
			t.Errorf("%v, %v; want %v", got, err, old)
		}
		w.mustFailAfter(key, old.Generation, broker.StateRetrying)
		w.sim.ClearFaults()
		pass(2 * time.Minute)
		if got := must(w.broker.TokenAfter(context.Background(), key, old.Generation)); got.Generation <= old.Generation {
			t.Errorf("%v after %v", got, old)
		}
	})
}

// mustFailAfter wants no token but that of the rejected generation to be had.
func (w *world) mustFailAfter(key broker.Key, generation uint64, state broker.State) {
	w.t.Helper()
	tok, err := w.broker.TokenAfter(context.Background(), key, generation)
	var s *broker.StateError
	if !errors.As(err, &s) || s.State != state {
		w.t.Errorf("%v, %v; want state %s", tok, err, state)
	}
}

// TestRejected_IsNotTriedAgainOnceTheRefreshTokenIsVoid has a merchant's calls go on
// for an hour while WeChat takes neither the access nor the refresh token.
func TestRejected_IsNotTriedAgainOnceTheRefreshTokenIsVoid(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.VoidRefreshToken(componentID, merchant(0))
		w.sim.ExpireToken(merchant(0))
		calls := w.sim.Calls("/cgi-bin/menu/get")
		for range 360 {
			w.mustFail(authorizerKey(merchant(0)), broker.StateNeedsAuthorization)
			pass(10 * time.Second)
		}
		if n := w.sim.Calls("/cgi-bin/menu/get") - calls; n != 1 {
			t.Errorf("the rejected token was sent %d times, want once", n)
		}
		if n := w.metric("wxsidecar_displaced_total", "kind", "authorizer"); n != 0 {
			t.Errorf("counted as displaced by somebody else %g times", n)
		}
		missing := w.broker.Missing()
		if len(missing) != 0 {
			t.Errorf("missing: %+v", missing) // of components and own accounts
		}
	})
}

// TestRejected_AmidATroubleIsNotShownAsLive has a token rejected while its renewal must
// wait for an hour: every call fails, and /tokenz and the metrics say why.
func TestRejected_AmidATroubleIsNotShownAsLive(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		w.sim.ExhaustQuota(ownID, stablePath)
		w.broker.Renew(ownKey)
		pass(time.Second)
		w.mustCall(ownKey) // the token lives
		w.sim.Displace(ownID)
		for range 5 {
			w.mustFail(ownKey, broker.StateQuotaExhausted)
			if missing := w.broker.Missing(); len(missing) != 1 || missing[0].State != "quota_exhausted" {
				t.Errorf("missing: %+v", missing)
			}
			if n := w.metric("wxsidecar_keys", "kind", "account", "state", "live"); n != 0 {
				t.Errorf("%g own accounts are counted as live", n)
			}
			pass(5 * time.Minute)
		}
	})
}

// TestRejected_AWrongAnswerAmidATroubleCostsOneCall has WeChat refuse a token that lives,
// once, while it cannot be renewed.
func TestRejected_AWrongAnswerAmidATroubleCostsOneCall(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.ExhaustQuota(componentID, authorizerPath)
		w.broker.Renew(key)
		pass(time.Second)
		w.sim.Fault("/cgi-bin/menu/get", wechattest.Fault{Errcode: 40001, Times: 1})
		w.mustFail(key, broker.StateQuotaExhausted)
		w.mustCall(key)
	})
}
