package broker_test

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// keepCalling calls all keys every step for d, and returns how many calls failed.
func (w *world) keepCalling(keys []broker.Key, d, step time.Duration) (failed int) {
	for end := time.Now().Add(d); time.Now().Before(end); pass(step) {
		for _, key := range keys {
			if code, err := w.call(key); code != 0 || err != nil {
				failed++
			}
		}
	}
	return failed
}

// tickets pushes one every ten minutes until the returned function is called.
func (w *world) tickets() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Minute):
				w.ticket()
			}
		}
	}()
	return func() { close(ended); <-done }
}

// silence makes all token calls and the probe fail as if nobody were there; apps'
// calls go on, since what is tried is whether they find a living token.
func (w *world) silence() {
	for _, path := range []string{"/", "/cgi-bin/component/*", "/cgi-bin/stable_token", "/cgi-bin/ticket/*"} {
		w.sim.Fault(path, wechattest.Fault{Mode: wechattest.Refuse})
	}
}

func TestOutage_29MinutesAreInvisible(t *testing.T) {
	lit(t, worldOptions{merchants: 20}, func(w *world) {
		defer w.tickets()()
		keys := []broker.Key{platformKey}
		for i := range 20 {
			keys = append(keys, authorizerKey(merchant(i)))
		}
		failed := 0
		for range 12 { // at every phase of the tokens' lives
			failed += w.keepCalling(keys, 37*time.Minute, time.Minute)
			w.silence()
			failed += w.keepCalling(keys, 29*time.Minute, time.Minute)
			w.sim.ClearFaults()
			failed += w.keepCalling(keys, 10*time.Minute, time.Minute)
		}
		if failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
	})
}

func TestOutage_4MinutesAreInvisibleToOwnAccounts(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		failed := 0
		for range 60 {
			failed += w.keepCalling([]broker.Key{ownKey}, 9*time.Minute, 20*time.Second)
			w.silence()
			failed += w.keepCalling([]broker.Key{ownKey}, 4*time.Minute, 20*time.Second)
			w.sim.ClearFaults()
		}
		if failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
	})
}

func TestOutage_3Hours_NothingIsTriedAndAllReturns(t *testing.T) {
	lit(t, worldOptions{merchants: 30, own: true}, func(w *world) {
		keys := []broker.Key{platformKey, ownKey}
		for i := range 30 {
			keys = append(keys, authorizerKey(merchant(i)))
		}
		w.silence()
		before := w.tokenCalls()
		w.keepCalling(keys[:3], 3*time.Hour, 10*time.Minute)
		if n := w.tokenCalls() - before; n > 12 {
			t.Errorf("%d token calls while nothing answered", n)
		}
		w.ticket()
		answers := make(chan error, 10)
		for i := range 10 {
			go func() {
				deadline := time.Now().Add(20 * time.Second)
				for {
					code, err := w.call(authorizerKey(merchant(i)))
					if code == 0 && err == nil || time.Now().After(deadline) {
						answers <- err
						return
					}
				}
			}()
		}
		pass(10 * time.Second)
		w.sim.ClearFaults()
		back := time.Now()
		for range 10 {
			if err := <-answers; err != nil {
				t.Errorf("a waiting caller: %v", err)
			}
		}
		if took := time.Since(back); took > 5*time.Second {
			t.Errorf("waiting callers were served %s after WeChat's return", took)
		}
		for _, key := range keys {
			w.mustCall(key)
		}
	})
}

func TestRefusals_AtMostOneAMinutePerKey(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: -1})
		before := w.sim.Calls(authorizerPath)
		w.keepCalling([]broker.Key{authorizerKey(merchant(0))}, 3*time.Hour, time.Minute)
		if n := w.sim.Calls(authorizerPath) - before; n < 60 || n > 120+3 {
			t.Errorf("%d token calls in three hours of refusals", n)
		}
		w.sim.ClearFaults()
		pass(2 * time.Minute)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestOutage_TheFirstSilenceStopsAll has WeChat fall silent when many renewals are
// due, and pushes still come: one renewal that nobody answers is enough to know.
func TestOutage_TheFirstSilenceStopsAll(t *testing.T) {
	lit(t, worldOptions{merchants: 50}, func(w *world) {
		defer w.tickets()()
		pass(75 * time.Minute)
		w.silence()
		before := w.tokenCalls()
		pass(20 * time.Minute)
		if n := w.tokenCalls() - before; n > 10 {
			t.Errorf("%d token calls while nothing answered, want those that began before it was known", n)
		}
		if w.metric("wxsidecar_renewals_total", "result", "no_answer") == 0 {
			t.Error("no renewal is counted as not answered")
		}
		w.sim.ClearFaults()
	})
}
