package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	faultyPath = "/cgi-bin/template/get_industry"
	loginPath  = "/sns/component/jscode2session"
)

// TestReport_DisplacedSixTimesInAMinute has somebody outside fetch the token again and
// again: no call sees it.
func TestReport_DisplacedSixTimesInAMinute(t *testing.T) {
	for _, times := range []int{4, 6} {
		lit(t, worldOptions{merchants: 1}, func(w *world) {
			for _, c := range []struct {
				key  broker.Key
				path string
			}{{authorizerKey(merchant(0)), authorizerPath}, {platformKey, componentPath}} {
				before := w.sim.Calls(c.path)
				for range times {
					w.sim.Displace(c.key.AppID)
					w.mustCall(c.key)
					pass(time.Minute / time.Duration(times))
				}
				if n := w.sim.Calls(c.path) - before; n != times {
					t.Errorf("%s displaced %d times: %d renewals", c.key, times, n)
				}
			}
			if n := w.metric("wxsidecar_displaced_total"); n != 0 {
				t.Errorf("counted as displaced %g times", n)
			}
		})
	}
}

// TestReport_DisplacedAtOnceBeyondSix is limited, and alarmed.
func TestReport_DisplacedAtOnceBeyondSix(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		for range 6 {
			w.sim.Displace(key.AppID)
			w.mustCall(key)
		}
		w.sim.Displace(key.AppID)
		if code, err := w.call(key); code != 40001 || err != nil {
			t.Errorf("errcode %d, error %v", code, err)
		}
		if n := w.metric("wxsidecar_displaced_total", "kind", "authorizer"); n != 1 {
			t.Errorf("counted as displaced %g times, want once", n)
		}
		if !strings.Contains(w.logs.String(), "somebody outside this sidecar renews it too") {
			t.Error("the log does not say what it is")
		}
		pass(31 * time.Second)
		w.mustCall(key)
	})
}

// TestFaulty_CostsOneRenewal has WeChat answer one path 40001 a thousand times within
// ten minutes, while other calls go on: that forces one renewal, and what a real
// displacement needs is all there.
func TestFaulty_CostsOneRenewal(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		w.sim.Fault(faultyPath, wechattest.Fault{Errcode: 40001})
		for key, path := range map[broker.Key]string{authorizerKey(merchant(0)): authorizerPath, ownKey: stablePath} {
			before := w.sim.Calls(path)
			for i := range 1000 {
				w.mustBeRefused(key, faultyPath)
				if i%2 == 0 {
					w.mustCall(key)
				}
				pass(590 * time.Millisecond)
			}
			want := 1
			if key == ownKey {
				want = 2 // WeChat first gives the same one again
			}
			if n := w.sim.Calls(path) - before; n != want {
				t.Errorf("%s: %d renewals, want %d", key, n, want)
			}
			if path == stablePath {
				continue // force_refresh is for one displacement in 30 s
			}
			for range 5 {
				w.sim.Displace(key.AppID)
				w.mustCall(key)
			}
		}
		if n := w.metric("wxsidecar_displaced_total"); n != 0 {
			t.Errorf("counted as displaced %g times", n)
		}
		logs := w.logs.String()
		if strings.Contains(logs, "somebody outside") || strings.Count(logs, "the call is at fault, not the token") != 2 {
			t.Error("the log blames somebody outside, or does not blame the call once for each key")
		}
	})
}

func (w *world) mustBeRefused(key broker.Key, path string) {
	w.t.Helper()
	if code, err := w.callPath(key, path); code != 40001 || err != nil {
		w.t.Fatalf("call of %s: errcode %d, error %v; WeChat's own answer was to be passed on", path, code, err)
	}
}

// TestFaulty_IsItselfCured has a call that was at fault come to work, and then meet a
// displaced token.
func TestFaulty_IsItselfCured(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(faultyPath, wechattest.Fault{Errcode: 40001})
		w.mustBeRefused(key, faultyPath)
		w.sim.ClearFaults()
		w.sim.Displace(key.AppID) // no call was served by this generation
		w.mustCallPath(key, faultyPath)
		for range 3 { // it has succeeded, and is like any other
			w.mustCall(key)
			w.sim.Displace(key.AppID)
			w.mustCallPath(key, faultyPath)
		}
	})
}

func (w *world) mustCallPath(key broker.Key, path string) {
	w.t.Helper()
	if code, err := w.callPath(key, path); code != 0 || err != nil {
		w.t.Fatalf("call of %s: errcode %d, error %v", path, code, err)
	}
}

// TestFaulty_IsForgotten after ten minutes, and sooner where tokens live a shorter time.
func TestFaulty_IsForgotten(t *testing.T) {
	for life, memory := range map[time.Duration]time.Duration{2 * time.Hour: 10 * time.Minute, 12 * time.Minute: time.Minute} {
		lit(t, worldOptions{merchants: 1, sim: wechattest.Options{TokenLife: life}}, func(w *world) {
			key := authorizerKey(merchant(0))
			w.sim.Fault(faultyPath, wechattest.Fault{Errcode: 40001})
			w.mustBeRefused(key, faultyPath)
			w.mustCall(key)
			before := w.sim.Calls(authorizerPath)
			pass(memory - time.Second)
			w.mustBeRefused(key, faultyPath)
			if n := w.sim.Calls(authorizerPath) - before; n != 0 {
				t.Errorf("a life of %s: %d renewals within the memory", life, n)
			}
			pass(2 * time.Second)
			w.mustBeRefused(key, faultyPath)
			if n := w.sim.Calls(authorizerPath) - before; n != 1 {
				t.Errorf("a life of %s: %d renewals after the memory's end, want 1", life, n)
			}
		})
	}
}

// TestFaulty_SpentLoginCodes has end users send codes that are spent, among good ones:
// WeChat answers the component's login form 40001 to them.
func TestFaulty_SpentLoginCodes(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		before := w.sim.Calls(componentPath)
		for range 500 {
			w.sim.Fault(loginPath, wechattest.Fault{Errcode: 40001})
			w.mustBeRefused(platformKey, loginPath)
			w.sim.ClearFaults()
			tok := must(w.broker.Token(context.Background(), platformKey))
			tok.Served([]byte(loginPath), false)
			pass(time.Second)
		}
		if n := w.sim.Calls(componentPath) - before; n > 8 {
			t.Errorf("%d renewals of the component within nine minutes", n)
		}
		for range 4 {
			w.sim.Displace(componentID)
			w.mustCall(platformKey)
		}
		if n := w.metric("wxsidecar_displaced_total"); n != 0 {
			t.Errorf("counted as displaced %g times", n)
		}
	})
}

// TestFaulty_AllDay does not use up the day's budget of token calls: what is displaced in
// the evening is cured.
func TestFaulty_AllDay(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		defer w.tickets()()
		key := authorizerKey(merchant(0))
		for i := range 3 {
			w.sim.Fault(fmt.Sprint("/cgi-bin/at-fault/", i), wechattest.Fault{Errcode: 40001})
		}
		for range 15 * 120 { // hours
			for i := range 3 {
				w.mustBeRefused(key, fmt.Sprint("/cgi-bin/at-fault/", i))
			}
			w.mustCall(key)
			pass(30 * time.Second)
		}
		if n := w.sim.CallsFor(authorizerPath, merchant(0)); n > 150 {
			t.Errorf("%d token calls in 15 hours", n)
		}
		w.sim.Displace(merchant(0))
		w.mustCall(key)
	})
}

// TestFaulty_OurOwnCall has WeChat answer one merchant's token call 40001 whatever the
// component's token is: that must not use up the component's renewals.
func TestFaulty_OurOwnCall(t *testing.T) {
	lit(t, worldOptions{merchants: 3}, func(w *world) {
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: 40001})
		w.sim.ExpireToken(merchant(0))
		before := w.sim.Calls(componentPath)
		for range 11 { // within ten minutes, as a refused one waits five seconds
			w.mustFail(authorizerKey(merchant(0)), broker.StateRetrying)
			w.sim.ExpireToken(merchant(1))
			w.mustCall(authorizerKey(merchant(1)))
			pass(45 * time.Second)
		}
		// The first is forced at once, the second before any other call was served.
		if n := w.sim.Calls(componentPath) - before; n > 2 {
			t.Errorf("%d renewals of the component for one merchant's call, want 2", n)
		}
		for range 4 {
			w.sim.Displace(componentID)
			w.sim.ExpireToken(merchant(2))
			w.mustCall(authorizerKey(merchant(2)))
		}
	})
}

// TestFaulty_ThatIsNotSentAgain is a call whose body was not kept, so that nothing judges it
// at once: the next of its path does.
func TestFaulty_ThatIsNotSentAgain(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		before := w.sim.Calls(authorizerPath)
		for range 500 {
			tok := must(w.broker.Token(context.Background(), key))
			w.broker.Report(key, tok.Generation, broker.Refusal{Errcode: 40001, Path: faultyPath, Final: true})
			pass(time.Second)
			w.mustCall(key)
		}
		if n := w.sim.Calls(authorizerPath) - before; n != 1 {
			t.Errorf("%d renewals, want 1", n)
		}
		for range 5 {
			w.sim.Displace(key.AppID)
			w.mustCall(key)
		}
	})
}

// TestFaulty_ManyPathsAreBounded has an app call ever new paths.
func TestFaulty_ManyPathsAreBounded(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		for i := range 1000 {
			first := w.broker.Now()
			tok := must(w.broker.Token(context.Background(), key))
			pass(time.Second)
			path := fmt.Sprint("/cgi-bin/", strings.Repeat("x", i), i)
			w.broker.Report(key, tok.Generation, broker.Refusal{Errcode: 40001, Path: path, First: first.Add(-time.Hour)})
		}
		if calls, longest := w.broker.Faulty(key); calls != 64 || longest > 128 {
			t.Errorf("%d calls are remembered, the longest of %d bytes", calls, longest)
		}
	})
}
