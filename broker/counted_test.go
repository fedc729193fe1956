package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestCounted_WhyAndUntilWhen puts a wrong secret in, and looks at what the metrics say of the
// cause and of the time that is left.
func TestCounted_WhyAndUntilWhen(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		expiry := func() float64 {
			return w.metric("wxsidecar_token_expiry_timestamp_seconds", "kind", "account", "appid", ownID)
		}
		if got, want := expiry(), float64(w.status().ExpiresAt.Unix()); got != want {
			t.Errorf("the token dies at %f, want %f", got, want)
		}
		if n := w.metric("wxsidecar_keys_refused"); n != 0 {
			t.Errorf("%g keys are refused before the fault", n)
		}
		w.reload("a-wrong-secret-0123456789abcdef0")
		pass(30 * time.Minute)
		if n := w.metric("wxsidecar_keys_refused", "kind", "account", "errcode", "40125"); n != 1 || w.metric("wxsidecar_keys_refused") != 1 {
			t.Errorf("%g keys are refused with 40125, %g in all", n, w.metric("wxsidecar_keys_refused"))
		}
		pass(2 * time.Hour)
		if got := expiry(); got != 0 {
			t.Errorf("without a token it dies at %f", got)
		}
		w.reload(ownSecret)
		if n := w.metric("wxsidecar_keys_refused"); n != 0 || expiry() == 0 {
			t.Errorf("%g keys are refused after the cure, and the token dies at %f", n, expiry())
		}
	})
}

// TestCounted_DailyBudgets has a token displaced again and again; each rejection uses up some
// of the day's budget, and the next day begins without.
func TestCounted_DailyBudgets(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		used := func() float64 {
			return w.metric("wxsidecar_daily_budget_used_ratio", "budget", "forced_renewals", "kind", "authorizer")
		}
		key := authorizerKey(merchant(0))
		w.mustCall(key)
		if got := used(); got != 0 {
			t.Errorf("%g is used at the start", got)
		}
		for range 4 {
			w.sim.Displace(key.AppID)
			w.mustCall(key)
			pass(time.Minute)
		}
		if got := used(); got != 4.0/200 { // 200 a day at the usual life
			t.Errorf("%g of the budget is used by four, want 0.02", got)
		}
		pass(24 * time.Hour)
		if got := used(); got != 0 {
			t.Errorf("%g is used the day after", got)
		}
	})
}

// TestCounted_WhoWaits has calls wait for a first token.
func TestCounted_WhoWaits(t *testing.T) {
	inWorld(t, worldOptions{own: true, sim: wechattest.Options{}}, func(w *world) {
		pass(time.Second)
		w.sim.Fault("/cgi-bin/stable_token", wechattest.Fault{Latency: 3 * time.Second})
		w.sim.ExpireToken(ownID)
		old, err := w.broker.Token(context.Background(), ownKey)
		if err != nil {
			t.Fatal(err)
		}
		w.broker.Report(ownKey, old.Generation, broker.Refusal{Errcode: 42001, Path: menuPath})
		done := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := w.broker.Token(context.Background(), ownKey)
				done <- err
			}()
		}
		pass(time.Second)
		if n := w.metric("wxsidecar_waiting_requests"); n != 3 {
			t.Errorf("%g calls wait, want 3", n)
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := w.metric("wxsidecar_waiting_requests"); n != 0 {
			t.Errorf("%g calls wait after that", n)
		}
	})
}

// series returns how many series there are.
func (w *world) series() (n int) {
	w.t.Helper()
	families, err := w.metrics.Gatherer().Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "wxsidecar_") {
			n += len(f.GetMetric())
		}
	}
	return n
}
