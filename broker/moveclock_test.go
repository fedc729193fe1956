package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestClock_SkewIsMeasuredAndAllowedFor(t *testing.T) {
	for _, wrong := range []time.Duration{-24 * time.Hour, -time.Hour, 0, time.Hour, 24 * time.Hour} {
		o := worldOptions{merchants: 2, own: true}
		inWorld(t, o, func(w *world) {
			w.wall = wrong
			w.restart()
			w.ticket()
			pass(time.Second)
			for i := range 2 {
				w.mustCall(authorizerKey(merchant(i)))
			}
			if off := time.Until(w.broker.Now()).Abs(); off > 2*time.Second {
				t.Errorf("clock wrong by %s: WeChat's time is off by %s", wrong, off)
			}
			if skew, measured := w.broker.Skew(); !measured || (skew+wrong).Abs() > 2*time.Second {
				t.Errorf("clock wrong by %s: skew %s, measured %t", wrong, skew, measured)
			}
			stop := w.tickets()
			keys := []broker.Key{authorizerKey(merchant(0)), ownKey, platformKey}
			if failed := w.keepCalling(keys, 10*time.Hour, 10*time.Minute); failed != 0 {
				t.Errorf("clock wrong by %s: %d calls failed", wrong, failed)
			}
			stop()
		})
	}
}

func TestClock_JumpBetweenRunsCausesNoStorm(t *testing.T) {
	for _, jump := range []time.Duration{-24 * time.Hour, -time.Hour, time.Hour, 24 * time.Hour} {
		lit(t, worldOptions{merchants: 40, own: true}, func(w *world) {
			before := w.tokenCalls()
			w.halt()
			w.wall = jump
			w.start()
			pass(time.Minute)
			for i := range 40 {
				w.mustCall(authorizerKey(merchant(i)))
			}
			w.mustCall(ownKey)
			w.mustCall(platformKey)
			if n := w.tokenCalls() - before; n > 2*42 {
				t.Errorf("jump of %s: %d token calls for 42 keys", jump, n)
			}
			if off := time.Until(w.broker.Now()).Abs(); off > 2*time.Second {
				t.Errorf("jump of %s: WeChat's time is off by %s", jump, off)
			}
		})
	}
}

func TestClock_OneWrongHostDoesNotMoveIt(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.SkewDate(48 * time.Hour)
		w.sim.Displace(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
		w.sim.SkewDate(0)
		if off := time.Until(w.broker.Now()).Abs(); off > 2*time.Second {
			t.Errorf("one odd Date moved WeChat's time by %s", off)
		}
	})
}

// TestClock_ManyAreNotPutOffByAnOtherClock starts with more own accounts than can be
// asked for at once, by a clock that is an hour ahead, of which the first of WeChat's
// answers tells. The others are due at once all the same.
func TestClock_ManyAreNotPutOffByAnOtherClock(t *testing.T) {
	const accounts = 100
	inWorld(t, worldOptions{}, func(w *world) {
		w.halt()
		for i := range accounts {
			appID := fmt.Sprintf("wxb%015x", i)
			w.sim.AddAccount(appID, ownSecret)
			w.opts.Accounts = append(w.opts.Accounts, broker.AccountConfig{AppID: appID, Secret: secret.New(ownSecret)})
		}
		w.sim.Fault(stablePath, wechattest.Fault{Latency: time.Second})
		w.wall = time.Hour
		w.start()
		pass(30 * time.Second)
		if n := w.metric("wxsidecar_keys", "kind", "account", "state", "live"); n != accounts {
			t.Errorf("%v of %d accounts live", n, accounts)
		}
	})
}
