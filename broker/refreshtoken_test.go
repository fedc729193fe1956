package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestRefreshToken_RotatesAndIsKept(t *testing.T) {
	o := worldOptions{merchants: 3, sim: wechattest.Options{RotateRefreshTokens: true}}
	lit(t, o, func(w *world) {
		defer w.tickets()()
		keys := []broker.Key{authorizerKey(merchant(0)), authorizerKey(merchant(1)), authorizerKey(merchant(2))}
		for range 5 {
			if failed := w.keepCalling(keys, 5*time.Hour, 10*time.Minute); failed != 0 {
				t.Errorf("%d calls failed", failed)
			}
			w.restart()
		}
	})
}

func TestRefreshToken_VoidIsRecovered(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.RotateRefreshToken(componentID, merchant(0)) // behind our back
		w.sim.ExpireToken(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestRefreshToken_InfoThatCannotBeRead has WeChat answer the question for one account
// with something of no use: the list has the new refresh token all the same. While the
// list shows no other either nothing is decided, as what the info would say is not known.
func TestRefreshToken_InfoThatCannotBeRead(t *testing.T) {
	for name, fault := range map[string]wechattest.Fault{
		"broken": {Body: "{{{"}, "refused": {Errcode: 40001}, "busy": {Errcode: -1}, "html": {Mode: wechattest.HTML},
	} {
		lit(t, worldOptions{merchants: 1}, func(w *world) {
			key := authorizerKey(merchant(0))
			w.sim.Fault(infoPath, fault)
			w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61023})
			w.sim.ExpireToken(key.AppID)
			w.mustFail(key, broker.StateRetrying)
			pass(time.Minute)
			w.mustFail(key, broker.StateRetrying)
			w.sim.ClearFaults()
			pass(2 * time.Minute) // the pause between two attempts is up to 105 seconds
			w.mustCall(key)

			w.sim.Fault(infoPath, fault)
			w.sim.RotateRefreshToken(componentID, key.AppID)
			w.sim.ExpireToken(key.AppID)
			pass(2 * time.Minute) // the list is read once a minute at most
			if code, err := w.call(key); code != 0 || err != nil {
				t.Errorf("%s: errcode %d, error %v", name, code, err)
			}
		})
	}
}

func TestRefreshToken_VoidForGood(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.VoidRefreshToken(componentID, merchant(0))
		w.sim.ExpireToken(merchant(0))
		w.use(key, must(w.broker.Token(context.Background(), key)))
		code, err := w.call(key)
		var s *broker.StateError
		if code != 42001 && (!errors.As(err, &s) || s.State != broker.StateNeedsAuthorization) {
			t.Fatalf("errcode %d, error %v", code, err)
		}
		pass(3 * time.Hour)
		w.mustFail(key, broker.StateNeedsAuthorization)
		if n := w.metric("wxsidecar_keys", "kind", "authorizer", "state", "needs_authorization"); n != 1 {
			t.Errorf("%g keys need authorization, want 1", n)
		}
		before := w.sim.Calls(listPath) + w.sim.Calls(infoPath)
		for range 50 {
			w.mustFail(key, broker.StateNeedsAuthorization)
		}
		if n := w.sim.Calls(listPath) + w.sim.Calls(infoPath) - before; n > 0 {
			t.Errorf("a verdict just given was asked for %d times", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.authorize(merchant(0))
		pass(time.Second)
		w.mustCall(key)
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRefreshToken_ManyVoidOnesLeaveOthersAlone has more merchants than there are
// workers in need of a list that takes WeChat half a minute.
func TestRefreshToken_ManyVoidOnesLeaveOthersAlone(t *testing.T) {
	lit(t, worldOptions{merchants: 3000}, func(w *world) {
		pass(2 * time.Minute)
		w.sim.Fault(listPath, wechattest.Fault{Latency: 4 * time.Second})
		for i := range 20 {
			w.sim.VoidRefreshToken(componentID, merchant(i))
			w.sim.ExpireToken(merchant(i))
		}
		for i := range 20 {
			go func() { _, _ = w.call(authorizerKey(merchant(i))) }()
		}
		pass(time.Second / 2)
		for i := range 20 {
			start := time.Now()
			w.sim.ExpireToken(merchant(30 + i))
			w.mustCall(authorizerKey(merchant(30 + i)))
			if took := time.Since(start); took > time.Second {
				t.Errorf("another merchant's call took %s", took)
			}
			pass(time.Second)
		}
		pass(time.Minute)
		pages := w.sim.Calls(listPath)
		for range 10 {
			pass(time.Minute)
			waited := 0
			for i := range 20 {
				start := time.Now()
				w.mustFail(authorizerKey(merchant(i)), broker.StateNeedsAuthorization)
				if time.Since(start) > 5*time.Second {
					waited++
				}
			}
			if waited > 1 { // one of them reads the list
				t.Errorf("%d merchants who must authorise again waited", waited)
			}
		}
		if n := w.sim.Calls(listPath) - pages; n > 80 {
			t.Errorf("the list's pages were asked for %d times in ten minutes", n)
		}
		w.sim.ClearFaults()
	})
}
