package broker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// failing is a store that can be made to refuse everything.
func failing() (store.Store, *atomic.Bool) {
	down := &atomic.Bool{}
	return memstore.New(memstore.Options{Wait: func(context.Context) error {
		if down.Load() {
			return errors.New("no space left on device")
		}
		return nil
	}}), down
}

// TestU9_ARecoveredRefreshTokenIsNeverForgotten loses the answer to the first use
// of a refresh token that was recovered. WeChat counts it as used, so no older one
// may come again; inWorld checks that none does.
func TestU9_ARecoveredRefreshTokenIsNeverForgotten(t *testing.T) {
	for _, storeDown := range []bool{false, true} {
		store, down := failing()
		lit(t, worldOptions{merchants: 1, store: store, sim: wechattest.Options{RotateRefreshTokens: true}}, func(w *world) {
			w.sim.RotateRefreshToken(componentID, merchant(0))
			w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61023, Times: 1})
			w.sim.Fault(authorizerPath, wechattest.Fault{Mode: wechattest.HTML, Effect: true, Times: 1})
			down.Store(storeDown)
			pass(90*time.Minute - 2*time.Second)
			w.sim.ExpireToken(merchant(0))
			_, _ = w.call(authorizerKey(merchant(0)))
			down.Store(false)
			pass(10 * time.Second)
			w.mustCall(authorizerKey(merchant(0)))
		})
	}
}

// TestStoreDown_AnUnchangedTicketIsNotAskedForAgainAndAgain covers a token that
// WeChat gave once more while the store took nothing: it must not be due at once.
func TestStoreDown_AnUnchangedTicketIsNotAskedForAgainAndAgain(t *testing.T) {
	store, down := failing()
	lit(t, worldOptions{own: true, store: store}, func(w *world) {
		key := broker.Key{Kind: broker.KindJSAPITicket, AppID: ownID}
		if _, err := w.broker.Token(context.Background(), key); err != nil {
			t.Fatal(err)
		}
		pass(70 * time.Minute)
		down.Store(true)
		pass(30 * time.Minute)
		down.Store(false)
		pass(20 * time.Minute)
		if n := w.sim.Calls(jsapiPath); n > 4 {
			t.Errorf("the ticket was asked for %d times in two hours", n)
		}
		if _, err := w.broker.Token(context.Background(), key); err != nil {
			t.Error(err)
		}
	})
}

// TestU9_ManyTroublesOfOneLeaveOthersAlone goes through what can befall one
// merchant's authorization while another's goes on.
func TestU9_ManyTroublesOfOneLeaveOthersAlone(t *testing.T) {
	o := worldOptions{merchants: 2, own: true, sim: wechattest.Options{RotateRefreshTokens: true}}
	lit(t, o, func(w *world) {
		defer w.tickets()()
		ill, well := authorizerKey(merchant(0)), []broker.Key{authorizerKey(merchant(1)), ownKey, platformKey}
		wellFor := func(d time.Duration) {
			t.Helper()
			if failed := w.keepCalling(well, d, 5*time.Minute); failed != 0 {
				t.Errorf("%d calls of others failed", failed)
			}
		}
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Latency: 3 * time.Second})
		w.sim.ExpireToken(merchant(0))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.call(ill)
		}()
		pass(time.Second)
		w.sim.Revoke(componentID, merchant(0)) // while its renewal is on its way
		w.revoke(merchant(0), time.Now())
		<-done
		w.sim.ClearFaults()
		w.mustFail(ill, broker.StateUnauthorized)
		wellFor(5 * time.Hour)
		w.authorize(merchant(0))
		pass(time.Second)
		w.mustCall(ill)
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: 42007})
		w.sim.ExpireToken(merchant(0))
		_, _ = w.call(ill)
		wellFor(5 * time.Hour)
		w.mustFail(ill, broker.StateNeedsAuthorization)
		w.sim.ClearFaults()
		w.authorize(merchant(0))
		pass(time.Second)
		w.mustCall(ill)
	})
}

// TestU1_RefusalsOfAThousand has every token call fail for 50 minutes.
func TestU1_RefusalsOfAThousand(t *testing.T) {
	faults := []wechattest.Fault{{Errcode: -1}, {Errcode: 45009}}
	if nightly() {
		faults = append(faults, wechattest.Fault{Status: 500}, wechattest.Fault{Status: 429})
	}
	for _, f := range faults {
		c := crowd{n: 1000, age: func(int) time.Duration { return 65 * time.Minute }}
		inCrowd(t, c, func(w *world, _ uint64) {
			pass(time.Second)
			w.mustCall(platformKey)
			w.sim.Fault(authorizerPath, f)
			counts := w.renewalsEach(time.Minute, 50*time.Minute, func() {
				for i := range 20 { // the tokens live on, and are served
					if tok, err := w.broker.Token(context.Background(), authorizerKey(merchant(i))); err != nil || tok.Generation != 3 {
						t.Fatalf("errcode %d, status %d: %v, %v", f.Errcode, f.Status, tok, err)
					}
				}
			})
			for i, n := range counts {
				if n > 20*60+60 {
					t.Errorf("errcode %d, status %d: %d token calls in minute %d", f.Errcode, f.Status, n, i)
				}
			}
			for i := range c.n {
				if n := w.sim.CallsFor(authorizerPath, merchant(i)); n > 40 {
					t.Fatalf("errcode %d, status %d: %d token calls for one of them", f.Errcode, f.Status, n)
				}
			}
		})
	}
}

// TestU8_AllCallsForASecond has WeChat reject every call of an app for a second.
func TestU8_AllCallsForASecond(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		before, called := w.sim.Calls(authorizerPath), w.sim.Calls("/cgi-bin/menu/get")
		w.sim.Fault("/cgi-bin/menu/get", wechattest.Fault{Errcode: 42001})
		for range 20 {
			_, _ = w.call(key)
			pass(50 * time.Millisecond)
		}
		w.sim.ClearFaults()
		pass(2 * time.Second)
		w.mustCall(key)
		if n := w.sim.Calls(authorizerPath) - before; n > 2 {
			t.Errorf("%d renewals, want at most two in a row", n)
		}
		if n := w.sim.Calls("/cgi-bin/menu/get") - called; n > 41 {
			t.Errorf("%d calls for 21 of the app's", n)
		}
	})
}

// TestStoreDown_AnIdleOneIsKeptUntilItIsSaved has the store away for so long that
// an authorizer would be let go of as idle: memory has the only copy of its refresh
// token, and inWorld checks that no older one is tried again.
func TestStoreDown_AnIdleOneIsKeptUntilItIsSaved(t *testing.T) {
	store, down := failing()
	lit(t, worldOptions{merchants: 1, store: store, sim: wechattest.Options{RotateRefreshTokens: true}}, func(w *world) {
		down.Store(true)
		pass(6 * time.Hour)
		down.Store(false)
		pass(10 * time.Second)
		w.mustCall(authorizerKey(merchant(0)))
		if n := w.metric("wxsidecar_unsaved_tokens"); n != 0 {
			t.Errorf("%g tokens are still unsaved", n)
		}
	})
}

// TestStoreDown_ARepeatedEventIsNotAcknowledged delivers an event again and again
// while the store takes nothing. Memory follows the first; none may be acknowledged
// before the store has it.
func TestStoreDown_ARepeatedEventIsNotAcknowledged(t *testing.T) {
	store, down := failing()
	lit(t, worldOptions{merchants: 1, store: store}, func(w *world) {
		p := wechat.Push{
			ID: "u", Component: componentID, InfoType: wechat.InfoUnauthorized,
			CreateTime: time.Now(), AuthorizerAppID: merchant(0),
		}
		w.sim.Revoke(componentID, merchant(0))
		down.Store(true)
		for i := range 3 {
			if w.broker.HandlePush(context.Background(), p) == nil {
				t.Errorf("delivery %d was acknowledged and is not durable", i+1)
			}
			w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		}
		down.Store(false)
		pass(10 * time.Second)
		w.mustPush(p)
		w.restart()
		before := w.sim.Calls(infoPath)
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		if n := w.sim.Calls(infoPath) - before; n > 1 {
			t.Errorf("%d calls to find out what was told before the restart, want at most the one check", n)
		}
	})
}
