package broker_test

import (
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestRefreshToken_OneWrongRefusalCostsThreeSeconds has WeChat answer 61023 once, just
// after a displacement, and go on showing the same refresh token, which works.
func TestRefreshToken_OneWrongRefusalCostsThreeSeconds(t *testing.T) {
	for _, alive := range []bool{true, false} {
		lit(t, worldOptions{merchants: 1}, func(w *world) {
			key := authorizerKey(merchant(0))
			pass(2 * time.Minute) // the list is older than a minute
			w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61023, Times: 1})
			calls, infos, lists := w.sim.Calls(authorizerPath), w.sim.Calls(infoPath), w.sim.Calls(listPath)
			if alive {
				w.sim.Displace(merchant(0))
			} else {
				w.sim.ExpireToken(merchant(0))
			}
			start := time.Now()
			var all sync.WaitGroup
			for range 228 {
				all.Go(func() { w.mustCall(key) })
				pass(10 * time.Millisecond)
			}
			all.Wait()
			if took := time.Since(start); took > 3500*time.Millisecond {
				t.Errorf("it took %s, want about three seconds", took)
			}
			calls, infos, lists = w.sim.Calls(authorizerPath)-calls, w.sim.Calls(infoPath)-infos, w.sim.Calls(listPath)-lists
			if calls != 2 || infos != 1 || lists != 1 {
				t.Errorf("%d token calls, %d for the info, %d for the list; want 2, 1 and 1", calls, infos, lists)
			}
			w.restart()
			w.mustCall(key)
		})
	}
}

// TestRefreshToken_VoidIsKnownInThreeSeconds has it refused twice: then only the merchant
// can cure it, and WeChat is not asked again and again.
func TestRefreshToken_VoidIsKnownInThreeSeconds(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		pass(2 * time.Minute)
		calls, infos, lists := w.sim.Calls(authorizerPath), w.sim.Calls(infoPath), w.sim.Calls(listPath)
		w.sim.VoidRefreshToken(componentID, merchant(0))
		w.sim.Displace(merchant(0))
		start := time.Now()
		w.mustFail(key, broker.StateNeedsAuthorization)
		if took := time.Since(start); took < 3*time.Second || took > 3500*time.Millisecond {
			t.Errorf("known after %s, want about three seconds", took)
		}
		for range 50 {
			begun := time.Now()
			w.mustFail(key, broker.StateNeedsAuthorization)
			if took := time.Since(begun); took > 0 {
				t.Errorf("a call waited for %s although the verdict was just given", took)
			}
			pass(time.Second)
		}
		calls, infos, lists = w.sim.Calls(authorizerPath)-calls, w.sim.Calls(infoPath)-infos, w.sim.Calls(listPath)-lists
		if calls != 2 || infos != 1 || lists != 1 {
			t.Errorf("%d token calls, %d for the info, %d for the list; want 2, 1 and 1", calls, infos, lists)
		}
		pass(15 * time.Second)
		calls = w.sim.Calls(authorizerPath)
		begun := time.Now()
		w.mustFail(key, broker.StateNeedsAuthorization)
		if n := w.sim.Calls(authorizerPath) - calls; n != 1 || time.Since(begun) > time.Second {
			t.Errorf("after a minute: tried %d times in %s, want once, at once", n, time.Since(begun))
		}
	})
}

// TestRefreshToken_TwoRefusalsFarApart are two slips: the token worked between.
func TestRefreshToken_TwoRefusalsFarApart(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		for range 3 {
			w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61023, Times: 1})
			w.sim.Displace(merchant(0))
			w.mustCall(authorizerKey(merchant(0)))
			pass(30 * time.Second)
		}
	})
}

// TestRefreshToken_PasswordChangedTwice is the verdict that 42007 gives, and once it is not.
func TestRefreshToken_PasswordChangedTwice(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 42007, Times: 1})
		w.sim.ExpireToken(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 42007, Times: 2})
		w.sim.ExpireToken(merchant(0))
		w.mustFail(authorizerKey(merchant(0)), broker.StateNeedsAuthorization)
		pass(61 * time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestUnauthorized_OneSlipOfTheInfoIsNoVerdict has WeChat say that an account is not
// authorised when it is asked about its refresh token: once, and each time.
func TestUnauthorized_OneSlipOfTheInfoIsNoVerdict(t *testing.T) {
	for _, slips := range []int{1, 2} {
		lit(t, worldOptions{merchants: 1}, func(w *world) {
			w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61023, Times: 1})
			w.sim.Fault(infoPath, wechattest.Fault{Errcode: 61003, Times: slips})
			w.sim.Displace(merchant(0))
			if slips == 1 {
				w.mustCall(authorizerKey(merchant(0)))
			} else {
				w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
			}
		})
	}
}
