package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestReconcile_FindsWhoCameAndWentUnheard(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.AddAuthorizer(componentID, merchant(50))
		w.sim.Unlist(componentID, merchant(50), true)
		w.sim.Revoke(componentID, merchant(1))
		w.sim.Fault(listPath, wechattest.Fault{Status: 502, Times: 2})
		pass(6*time.Hour + 2*time.Minute)
		w.mustCall(authorizerKey(merchant(50)))
		w.mustFail(authorizerKey(merchant(1)), broker.StateUnauthorized)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestReconcile_GoesOnWhereItStopped(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2600}, func(w *world) {
		w.sim.Fault(listPath, wechattest.Fault{Latency: time.Second})
		w.sim.Fault(listPath, wechattest.Fault{Mode: wechattest.HTML, Probability: 0.5})
		w.ticket()
		pass(10 * time.Minute)
		w.sim.ClearFaults()
		for i := range 2600 {
			w.mustCall(authorizerKey(merchant(i)))
		}
	})
}

// TestReconcile_AsksOnAboutTheUnlisted has the questions about accounts that are
// listed without a refresh token fail once, in one way or another.
func TestReconcile_AsksOnAboutTheUnlisted(t *testing.T) {
	for _, fault := range []wechattest.Fault{{Mode: wechattest.HTML}, {Mode: wechattest.Refuse}, {Mode: wechattest.Hang}, {Errcode: 40001}} {
		inWorld(t, worldOptions{merchants: 30}, func(w *world) {
			for i := range 30 {
				w.sim.Unlist(componentID, merchant(i), true)
			}
			w.sim.Fault(infoPath, wechattest.Fault{AppID: merchant(9), Latency: time.Second})
			fault.AppID, fault.Times = merchant(10), 1
			w.sim.Fault(infoPath, fault)
			w.ticket()
			pass(5 * time.Minute)
			for i := range 30 {
				if n := w.sim.CallsFor(infoPath, merchant(i)); n != 1 && (i != 10 || n != 2) {
					t.Errorf("%v: asked %d times about merchant %d", fault, n, i)
				}
			}
		})
	}
}

// TestReconcile_OneOfTheUnlistedHoldsUpNobody has one about whom WeChat never says
// anything that can be read.
func TestReconcile_OneOfTheUnlistedHoldsUpNobody(t *testing.T) {
	inWorld(t, worldOptions{merchants: 30}, func(w *world) {
		for i := range 30 {
			w.sim.Unlist(componentID, merchant(i), true)
		}
		w.sim.Fault(infoPath, wechattest.Fault{AppID: merchant(0), Mode: wechattest.HTML})
		w.ticket()
		pass(5 * time.Minute)
		for i := 1; i < 30; i++ {
			if n := w.sim.CallsFor(infoPath, merchant(i)); n != 1 {
				t.Errorf("asked %d times about merchant %d", n, i)
			}
		}
		if n := w.sim.CallsFor(infoPath, merchant(0)); n < 2 || n > 7 {
			t.Errorf("asked %d times in five minutes about the one in trouble", n)
		}
	})
}

// TestReconcile_TheUnlistedHoldUpNobody has so many of them that asking takes
// minutes, while the list is needed for another merchant.
func TestReconcile_TheUnlistedHoldUpNobody(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2001}, func(w *world) {
		for i := range 2000 {
			w.sim.Unlist(componentID, merchant(i), true)
		}
		w.ticket()
		pass(70 * time.Second)
		key := authorizerKey(merchant(2000))
		w.mustCall(key)
		w.sim.RotateRefreshToken(componentID, merchant(2000))
		w.sim.Fault(infoPath, wechattest.Fault{AppID: merchant(2000), Body: `{"authorizer_info":{},"authorization_info":{}}`})
		w.sim.ExpireToken(merchant(2000))
		w.mustCall(key)
		w.sim.ClearFaults()
		if n := w.sim.Calls(infoPath); n > 1900 {
			t.Errorf("%d were asked about by now, the test needs that to go on", n)
		}
		pass(2 * time.Minute)
		if n := w.sim.Calls(infoPath); n < 2000 {
			t.Errorf("only %d were asked about", n)
		}
	})
}

func TestUnknown_ALostAuthorizationIsFoundByTheFirstCall(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		pass(time.Hour)
		w.sim.AddAuthorizer(componentID, merchant(7)) // and the event is lost
		before := w.sim.Calls(listPath)
		for range 20 {
			_, _ = w.call(authorizerKey(merchant(7)))
			pass(time.Second)
		}
		w.mustCall(authorizerKey(merchant(7)))
		for range 100 {
			if _, err := w.call(authorizerKey("wxffffffffffffffff")); !errors.Is(err, broker.ErrUnknownAccount) {
				t.Fatalf("an appid of nobody's: %v", err)
			}
			pass(time.Second)
		}
		if n := w.sim.Calls(listPath) - before; n != 1 {
			t.Errorf("unknown appids had the list read %d times, want once in ten minutes", n)
		}
	})
}
