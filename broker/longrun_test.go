package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// hold calls key every step for d, wants each call to fail in that state, and returns
// how many there were.
func (w *world) hold(key broker.Key, state broker.State, d, step time.Duration) (calls int) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); pass(step) {
		w.mustFail(key, state)
		calls++
	}
	return calls
}

// healed wants a call of key to go well within d from now, and none to be needed more
// than every ten seconds for that.
func (w *world) healed(key broker.Key, d time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(d); ; pass(10 * time.Second) {
		code, err := w.call(key)
		if code == 0 && err == nil {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s does not live %s after the cure: errcode %d, error %v", key, d, code, err)
		}
	}
}

// TestLong_ATroubleOfADayKeepsItsName has causes last that only a person can cure, and
// one that passes late: what keeps being asked about is not a quota's doing, and lives
// as soon as the cause is gone.
func TestLong_ATroubleOfADayKeepsItsName(t *testing.T) {
	const day, often = 26 * time.Hour, 40 * time.Second
	lit(t, worldOptions{own: true}, func(w *world) {
		w.sim.AddAccount(ownID, "a-secret-that-was-reset-0123456789")
		w.sim.ExpireToken(ownID)
		w.hold(ownKey, broker.StateMisconfigured, day, often)
		if missing := w.broker.Missing(); len(missing) == 0 || missing[0].State != "misconfigured" {
			t.Errorf("missing: %+v", missing)
		}
		w.sim.AddAccount(ownID, ownSecret)
		w.healed(ownKey, 3*time.Minute)
	})
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		defer w.tickets()()
		key := authorizerKey(merchant(0))
		w.sim.VoidRefreshToken(componentID, merchant(0))
		w.sim.ExpireToken(merchant(0))
		w.hold(key, broker.StateNeedsAuthorization, day, often)
		w.sim.Authorize(componentID, merchant(0)) // and the event is lost
		w.healed(key, 2*time.Minute)
	})
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		defer w.tickets()()
		key := authorizerKey(merchant(0))
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: -1})
		w.sim.ExpireToken(merchant(0))
		before := w.sim.CallsFor(authorizerPath, merchant(0))
		w.hold(key, broker.StateRetrying, day, often)
		if n := w.sim.CallsFor(authorizerPath, merchant(0)) - before; n > int(day/time.Minute) {
			t.Errorf("%d token calls in %s, want one a minute at most", n, day)
		}
		w.sim.ClearFaults()
		w.healed(key, 2*time.Minute)
	})
}

// TestLong_BriefTokensAreRenewedAsOftenAsTheyNeed has more renewals made in a day than
// tokens of two hours would ever need.
func TestLong_BriefTokensAreRenewedAsOftenAsTheyNeed(t *testing.T) {
	o := worldOptions{merchants: 20, sim: wechattest.Options{TokenLife: 12 * time.Second, TicketLife: time.Hour, KeepRequests: 1}}
	lit(t, o, func(w *world) {
		defer w.tickets()()
		var keys []broker.Key
		for i := range o.merchants {
			keys = append(keys, authorizerKey(merchant(i)))
		}
		for range 3 * 360 { // hours
			for _, key := range keys {
				if _, err := w.broker.Token(context.Background(), key); err != nil {
					t.Fatal(err)
				}
			}
			pass(10 * time.Second)
		}
	})
}

// TestLong_WeChatComesToGiveBrieferTokens starts with a record of a token that lived two
// hours; those that WeChat gives now live five minutes.
func TestLong_WeChatComesToGiveBrieferTokens(t *testing.T) {
	store, key := memstore.New(memstore.Options{}), authorizerKey(merchant(0))
	o := worldOptions{merchants: 1, store: store, sim: wechattest.Options{TokenLife: 5 * time.Minute, TicketLife: time.Hour}}
	inWorld(t, o, func(w *world) {
		w.halt()
		now := time.Now()
		seed := broker.Seed{Key: key, Token: "old", Generation: 1, Obtained: now.Add(-2 * time.Hour), Dies: now, Used: now}
		if err := store.Put(context.Background(), seed.Write(keyring(t))); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.ticket()
		pass(time.Second)
		defer w.tickets()()
		if failed := w.keepCalling([]broker.Key{key}, 16*time.Hour, time.Minute); failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
	})
}

// TestReconcile_WhatTheListCuresIsRenewed has a merchant whose refresh token is void
// authorise again by an event that is lost: without any call the key lives once the list
// has been read, and is not counted among those in trouble any more.
func TestReconcile_WhatTheListCuresIsRenewed(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		key := authorizerKey(merchant(0))
		needing := func() float64 {
			return w.metric("wxsidecar_keys", "kind", "authorizer", "state", broker.StateNeedsAuthorization.String())
		}
		w.sim.VoidRefreshToken(componentID, merchant(0))
		w.sim.ExpireToken(merchant(0))
		w.mustFail(key, broker.StateNeedsAuthorization)
		if n := needing(); n != 1 {
			t.Errorf("%g keys need an authorization, want 1", n)
		}
		w.sim.Authorize(componentID, merchant(0))
		pass(time.Minute)
		w.broker.Reconcile(componentID)
		pass(5 * time.Second)
		if n := needing(); n != 0 {
			t.Errorf("%g keys need an authorization after the list was read", n)
		}
		before := w.sim.Calls(authorizerPath)
		w.mustCall(key)
		if n := w.sim.Calls(authorizerPath) - before; n != 0 {
			t.Errorf("the call had to wait for a renewal")
		}
	})
}

// TestLong_QuotaOfQuestionsAboutTheVoidStopsNobody has merchants whose refresh tokens are
// void be called all day, until WeChat answers no more questions about accounts: that is
// no quota of token calls, and takes nothing from what is known of them.
func TestLong_QuotaOfQuestionsAboutTheVoidStopsNobody(t *testing.T) {
	lit(t, worldOptions{merchants: 20}, func(w *world) {
		defer w.tickets()()
		const void = 5
		var sound []broker.Key
		for i := range 20 {
			if i >= void {
				sound = append(sound, authorizerKey(merchant(i)))
				continue
			}
			w.sim.VoidRefreshToken(componentID, merchant(i))
			w.sim.ExpireToken(merchant(i))
			w.mustFail(authorizerKey(merchant(i)), broker.StateNeedsAuthorization)
		}
		w.sim.ExhaustQuota(componentID, infoPath)
		for range 4 * 60 { // four hours: each of the sound ones is renewed twice
			for i := range void {
				w.mustFail(authorizerKey(merchant(i)), broker.StateNeedsAuthorization)
			}
			if failed := w.keepCalling(sound, time.Minute, time.Minute); failed != 0 {
				t.Fatalf("%d calls of others failed", failed)
			}
		}
	})
}
