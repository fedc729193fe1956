package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestQuota_OneMerchantStopsNobodyElse(t *testing.T) {
	lit(t, worldOptions{merchants: 3}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: 45009})
		w.sim.ExpireToken(merchant(0))
		pass(2 * time.Hour)
		s := w.mustFail(key, broker.StateQuotaExhausted)
		if s.Errcode != 45009 {
			t.Errorf("errcode %d", s.Errcode)
		}
		before := w.sim.Calls(authorizerPath)
		for range 100 {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		if n := w.sim.Calls(authorizerPath) - before; n != 0 {
			t.Errorf("a quota that is used up was hammered %d times", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.sim.ClearFaults()
		w.broker.Renew(key) // an operator resets it
		pass(time.Second)
		w.mustCall(key)
	})
}

// TestQuota_SeveralStopTheOthersForAnHourAtMost has three merchants use up their
// quotas, for good, while the tokens of the others are due. The others may have to
// wait for a probe, once, but what is spent of three merchants' must not spend it.
func TestQuota_SeveralStopTheOthersForAnHourAtMost(t *testing.T) {
	lit(t, worldOptions{merchants: 20}, func(w *world) {
		defer w.tickets()()
		pass(70 * time.Minute)
		all := crowd{n: 20}.keys()
		for i, key := range all[:3] {
			w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(i), Errcode: 45009})
			w.sim.ExpireToken(key.AppID)
			_, _ = w.call(key)
		}
		failed := map[int]int{}
		for hour := range 12 {
			for range 12 {
				_, _ = w.call(all[0])
				_, _ = w.call(all[1])
				_, _ = w.call(all[2])
				failed[hour] += w.keepCalling(all[3:], 5*time.Minute, 5*time.Minute)
			}
			if hour > 1 && failed[hour] != 0 {
				t.Errorf("%d calls of others failed in hour %d", failed[hour], hour)
			}
		}
		if n := w.sim.CallsFor(authorizerPath, merchant(0)); n > 20 {
			t.Errorf("a quota that is used up was probed %d times in twelve hours", n)
		}
	})
}

// TestQuota_AnOperatorResetsTheKind closes the breaker by way of one key; the others
// that it had stopped go on as well.
func TestQuota_AnOperatorResetsTheKind(t *testing.T) {
	lit(t, worldOptions{merchants: 6}, func(w *world) {
		w.ticket()
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 45009})
		pass(3 * time.Hour)
		for i := range 6 {
			w.mustFail(authorizerKey(merchant(i)), broker.StateQuotaExhausted)
		}
		w.sim.ClearFaults()
		w.broker.Renew(authorizerKey(merchant(0)))
		pass(time.Second)
		well := 0
		for i := range 6 {
			if code, err := w.call(authorizerKey(merchant(i))); code == 0 && err == nil {
				well++
			}
		}
		if well < 4 {
			t.Errorf("%d of 6 go on, want at least those to which WeChat itself had not answered 45009", well)
		}
	})
}

func TestQuota_AnOperatorResetsTheDaysBudget(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.broker.SpendDayOf(key)
		w.sim.ExpireToken(merchant(0))
		w.mustCall(key) // the one of the hour
		w.sim.ExpireToken(merchant(0))
		before := w.sim.Calls(authorizerPath)
		s := w.mustFail(key, broker.StateQuotaExhausted)
		if n := w.sim.Calls(authorizerPath) - before; n != 0 || !strings.Contains(s.Reason, "budget") {
			t.Errorf("%d token calls beyond the budget; %+v", n, s)
		}
		w.broker.Renew(key)
		pass(time.Second)
		w.mustCall(key)
	})
}

// TestQuota_IsRememberedOverARestart restarts the broker again and again while quotas
// are used up: that must not cost a call each time. After the hour, or on the next day,
// it is asked again. The own account has never had a token.
func TestQuota_IsRememberedOverARestart(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2, own: true}, func(w *world) {
		pass(2 * time.Hour)
		w.halt()
		w.opts.Accounts[0].AppID = "wx00000000000000bb"
		w.sim.AddAccount("wx00000000000000bb", ownSecret)
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 45009})
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: 45009})
		w.start()
		w.ticket()
		pass(time.Second)
		keys := []broker.Key{authorizerKey(merchant(0)), {Kind: broker.KindAccount, AppID: "wx00000000000000bb"}}
		for _, key := range keys {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		calls := func() int { return w.sim.CallsFor(authorizerPath, merchant(0)) + w.sim.Calls(stablePath) }
		before := calls()
		for range 5 {
			pass(10 * time.Minute)
			w.restart()
			for _, key := range keys {
				if s := w.mustFail(key, broker.StateQuotaExhausted); s.Errcode != 45009 || s.RetryAfter > time.Hour {
					t.Errorf("%+v", s)
				}
			}
		}
		if n := calls() - before; n != 0 {
			t.Errorf("%d token calls over five restarts within the hour", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.sim.ClearFaults()
		pass(12 * time.Minute)
		for _, key := range keys {
			w.mustCall(key)
		}
	})
}

// TestQuota_OfTheListAndTheExchange has WeChat answer 45009 to what is called for no
// single key: it is asked once an hour as well.
func TestQuota_OfTheListAndTheExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		defer w.tickets()()
		w.sim.Fault(listPath, wechattest.Fault{Errcode: 45009})
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 45009})
		w.authorize(merchant(1))
		pass(time.Hour)
		before := w.sim.Calls(queryAuthPath) + w.sim.Calls(listPath)
		pass(10 * time.Hour)
		if n := w.sim.Calls(queryAuthPath) + w.sim.Calls(listPath) - before; n > 20 {
			t.Errorf("a quota that is used up was asked %d times in ten hours", n)
		}
		w.sim.ClearFaults()
		pass(62 * time.Minute)
		w.mustCall(authorizerKey(merchant(1)))
	})
}

// TestQuota_AnOperatorResetsThemAll has quotas used up in every kind, by WeChat's word
// and by a breaker, and the day's budget as well.
func TestQuota_AnOperatorResetsThemAll(t *testing.T) {
	lit(t, worldOptions{merchants: 6, own: true}, func(w *world) {
		w.ticket()
		w.sim.Fault("/cgi-bin/component/api_authorizer_token", wechattest.Fault{Errcode: 45009})
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 45009})
		pass(130 * time.Minute)
		keys := append(crowd{n: 6}.keys(), ownKey)
		for _, key := range keys {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		w.broker.Admin().ResetBudgets() // too early
		pass(time.Second)
		for _, key := range keys {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		w.sim.ClearFaults()
		w.broker.SpendDayOf(keys[0])
		w.broker.Admin().ResetBudgets()
		pass(time.Second)
		for _, key := range keys {
			w.mustCall(key)
		}
	})
}

// TestQuota_OurOwnBudgetOfAKey is used up for one key: then it is renewed once an hour,
// which is enough to live, until the next day in China.
func TestQuota_OurOwnBudgetOfAKey(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		defer w.tickets()()
		key := authorizerKey(merchant(0))
		calls := func() int { return w.sim.CallsFor(authorizerPath, merchant(0)) }
		w.broker.SpendDayOf(key)
		before := calls()
		if failed := w.keepCalling([]broker.Key{key, authorizerKey(merchant(1))}, 10*time.Hour, 5*time.Minute); failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		w.sim.ExpireToken(merchant(0))
		w.mustCall(key)
		w.sim.ExpireToken(merchant(0))
		if s := w.mustFail(key, broker.StateQuotaExhausted); !strings.Contains(s.Reason, "this key") {
			t.Errorf("%+v", s)
		}
		if n := calls() - before; n < 7 || n > 13 { // each 90 minutes at the latest, and once for the expiry
			t.Errorf("%d token calls in ten hours beyond the budget, want one an hour at most", n)
		}
		pass(61 * time.Minute)
		w.mustCall(key)
	})
}

// TestQuota_EndlessRejectionDoesNotTakeTheKeyDown has an app call something, twice a
// minute, that WeChat answers 40001 whatever the token: that uses up our budget of the
// key, and the key's other calls must go on all day.
func TestQuota_EndlessRejectionDoesNotTakeTheKeyDown(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		defer w.tickets()()
		key, failed := authorizerKey(merchant(0)), 0
		for range 15 * 120 { // hours
			pass(30 * time.Second)
			tok, err := w.broker.Token(context.Background(), key)
			if err != nil || w.use(key, tok) != 0 {
				failed++
				continue
			}
			w.broker.Report(key, tok.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
		}
		if failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		if n := w.sim.CallsFor(authorizerPath, merchant(0)); n > 240 {
			t.Errorf("%d token calls", n)
		}
	})
}

func TestQuota_SeveralStopTheirKind(t *testing.T) {
	lit(t, worldOptions{merchants: 5}, func(w *world) {
		w.ticket()
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 45009})
		pass(3 * time.Hour)
		for i := range 3 {
			w.mustFail(authorizerKey(merchant(i)), broker.StateQuotaExhausted)
		}
		before := w.sim.Calls(authorizerPath)
		w.mustFail(authorizerKey(merchant(3)), broker.StateQuotaExhausted)
		w.mustFail(authorizerKey(merchant(4)), broker.StateQuotaExhausted)
		if n := w.sim.Calls(authorizerPath) - before; n != 0 {
			t.Errorf("%d calls after three merchants met the quota", n)
		}
	})
}

// TestQuota_OfOneComponentStopsNoOther has the merchants of one component use up their
// quotas there: their authorizations of another component go on.
func TestQuota_OfOneComponentStopsNoOther(t *testing.T) {
	const merchants = 3
	inTwoWith(t, func(o *worldOptions) { o.merchants = merchants }, func(w *world, _ func(*world)) {
		for i := range merchants {
			w.authorizeOther(merchant(i))
			pass(time.Second)
			w.sim.ExpireToken(merchant(i))
		}
		w.sim.Fault(authorizerPath, wechattest.Fault{Component: componentID, Errcode: 45009})
		for i := range merchants {
			w.mustFail(authorizerKey(merchant(i)), broker.StateQuotaExhausted)
		}
		for i := range merchants {
			w.mustCall(authorizerOf(otherComponentID, merchant(i)))
		}
	})
}
