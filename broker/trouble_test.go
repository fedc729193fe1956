package broker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestTickets_OlderOnesAreTried(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.ticket()
		w.mustCall(platformKey)
		w.mustPush(wechat.Push{ // one that WeChat will not take
			ID: "bad", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now().Add(time.Second), Ticket: secret.New("ticket@@@not-of-this-component"),
		})
		w.sim.ExpireToken(componentID)
		w.mustCall(platformKey)
	})
}

func TestTickets_AnOlderOneNeverReplacesANewer(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		old := wechat.Push{
			ID: "old", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(componentID)),
		}
		time.Sleep(time.Hour)
		w.ticket()
		age := w.metric("wxsidecar_ticket_age_seconds")
		time.Sleep(time.Minute)
		w.mustPush(old)
		if got := w.metric("wxsidecar_ticket_age_seconds"); got < age+60 {
			t.Errorf("the age of the ticket went from %gs to %gs", age, got)
		}
	})
}

// TestTickets_OneThatComesAmidARenewalIsTried has a ticket come while WeChat is about
// to refuse those that the renewal under way, ahead of time, began with.
func TestTickets_OneThatComesAmidARenewalIsTried(t *testing.T) {
	var sent atomic.Int32
	o := worldOptions{adjust: func(o *broker.Options) {
		o.Checkpoint = func(name string) {
			if name == "renewal-sending" {
				sent.Add(1)
			}
		}
	}}
	lit(t, o, func(w *world) {
		w.sim.ExpireTickets(componentID)
		w.sim.Fault(componentPath, wechattest.Fault{Latency: 3 * time.Second})
		before := sent.Load()
		for range 2 * 3600 {
			if sent.Load() > before {
				break
			}
			time.Sleep(time.Second)
		}
		w.ticket()
		time.Sleep(10 * time.Second)
		w.sim.ClearFaults()
		if n := w.sim.TokensIssued(componentID); n != 2 {
			t.Errorf("%d component tokens, want a second one by the ticket that came", n)
		}
	})
}

// TestTickets_OneFromTheFutureShutsNoOthersOut has a push whose CreateTime is a year
// ahead; the next true ones must replace its ticket all the same.
func TestTickets_OneFromTheFutureShutsNoOthersOut(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.mustPush(wechat.Push{
			ID: "future", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now().Add(365 * 24 * time.Hour), Ticket: secret.New(w.sim.NewTicket(componentID)),
		})
		time.Sleep(10 * time.Minute)
		w.ticket()
		if got := w.broker.Tickets(); got[0].Age > time.Minute {
			t.Errorf("%+v after a push", got)
		}
	})
}

func TestTickets_AgeIsShown(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		if got := w.broker.Tickets(); len(got) != 1 || got[0].Held || got[0].Component != componentID || got[0].Age != 0 {
			t.Errorf("before the first ticket: %+v", got)
		}
		w.ticket()
		time.Sleep(7 * time.Minute)
		if got := w.broker.Tickets(); len(got) != 1 || !got[0].Held || (got[0].Age-7*time.Minute).Abs() > time.Second {
			t.Errorf("seven minutes later: %+v", got)
		}
	})
}

func TestTickets_AskedForWithPatience(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		time.Sleep(59 * time.Minute) // between two requests
		if n := w.sim.Calls(startPath); n < 5 || n > 7 {
			t.Errorf("without any ticket WeChat was asked %d times in an hour, want each ten minutes", n)
		}
		w.ticket()
		before := w.sim.Calls(startPath)
		time.Sleep(24 * time.Minute)
		if n := w.sim.Calls(startPath) - before; n != 0 {
			t.Errorf("asked %d times within 25 minutes of a ticket", n)
		}
		time.Sleep(2 * time.Minute)
		if n := w.sim.Calls(startPath) - before; n != 1 {
			t.Errorf("asked %d times after 26 minutes without a ticket, want once", n)
		}
	})
}

func TestTickets_ServiceUntilTheLastSecond(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		if failed := w.keepCalling([]broker.Key{authorizerKey(merchant(0))}, 11*time.Hour, 10*time.Minute); failed != 0 {
			t.Errorf("%d calls failed within the ticket's life", failed)
		}
		time.Sleep(6 * time.Hour)
		s := w.mustFail(platformKey, broker.StateWaitingTicket)
		if !strings.Contains(s.Reason, "ticket missing since") || s.RetryAfter == 0 {
			t.Errorf("the reason: %q, retry after %s", s.Reason, s.RetryAfter)
		}
		w.mustFail(authorizerKey(merchant(0)), broker.StateWaitingTicket)
		w.ticket()
		time.Sleep(2 * time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestTickets_ANewOneEndsTheWaitForIt has a renewal of the component fail because
// WeChat takes none of the tickets held: ahead of time, while the token lives, or
// because the token is rejected. The next ticket must bring it about by itself.
func TestTickets_ANewOneEndsTheWaitForIt(t *testing.T) {
	for _, rejected := range []bool{false, true} {
		lit(t, worldOptions{}, func(w *world) {
			w.sim.ExpireTickets(componentID)
			if rejected {
				w.sim.Displace(componentID)
				w.mustFail(platformKey, broker.StateWaitingTicket)
			}
			time.Sleep(95 * time.Minute)
			before := w.sim.Calls(componentPath)
			w.ticket()
			time.Sleep(2 * time.Second)
			if n := w.sim.Calls(componentPath) - before; n != 1 {
				t.Errorf("rejected %t: %d token calls after the ticket came, want one", rejected, n)
			}
			w.ticket()
			time.Sleep(2 * time.Second)
			if n := w.sim.Calls(componentPath) - before; n != 1 {
				t.Errorf("rejected %t: %d token calls after another ticket, want none", rejected, n-1)
			}
			if missing := w.broker.Missing(); len(missing) != 0 {
				t.Errorf("rejected %t: missing: %+v", rejected, missing)
			}
		})
	}
}

func TestTickets_RefusedPushesAreNamedInTheReason(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		f := func(appID, cause, want string) {
			t.Helper()
			w.broker.PushRefused(appID, cause)
			time.Sleep(time.Minute)
			want = "refused (" + cause + ", 1m0s ago): " + want
			if m := w.broker.Missing(); len(m) != 1 || !strings.Contains(m[0].Reason, want) {
				t.Errorf("missing: %+v\nwant in it %s", m, want)
			}
		}
		const url = "the authorization-event URL (授权事件接收URL) in WeChat's console must end in /wechat/" + componentID + "/event"
		f("", "unknown_path", url)
		f("wxffffffffffffffff", "unknown_component", url)
		f(componentID, "unknown_path", url)
		f(componentID, "forged", "compare push_token")
		f(componentID, "padding", "compare encoding_aes_key")
		f(componentID, "outside_window", "the clocks differ")
		f(componentID, "cut_off", "the body breaks off")
		f(componentID, "too_large", "a body of more than 1 MiB")
		f(componentID, "not_encrypted", "encrypt_type=aes is missing")
		f(componentID, "envelope", "the body is not what WeChat sends")
		w.broker.PushRefused("", "unknown_path") // the component's own counts for more
		if m := w.broker.Missing(); len(m) != 1 || !strings.Contains(m[0].Reason, "refused (envelope, 1m0s ago)") {
			t.Errorf("missing: %+v", m)
		}
		time.Sleep(time.Hour)
		if m := w.broker.Missing(); len(m) != 1 || strings.Contains(m[0].Reason, "refused") {
			t.Errorf("missing: %+v", m)
		}
	})
}

func TestQuota_OneMerchantStopsNobodyElse(t *testing.T) {
	lit(t, worldOptions{merchants: 3}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: 45009})
		w.sim.ExpireToken(merchant(0))
		time.Sleep(2 * time.Hour)
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
		time.Sleep(time.Second)
		w.mustCall(key)
	})
}

// TestQuota_SeveralStopTheOthersForAnHourAtMost has three merchants use up their
// quotas, for good, while the tokens of the others are due. The others may have to
// wait for a probe, once, but what is spent of three merchants' must not spend it.
func TestQuota_SeveralStopTheOthersForAnHourAtMost(t *testing.T) {
	lit(t, worldOptions{merchants: 20}, func(w *world) {
		defer w.tickets()()
		time.Sleep(70 * time.Minute)
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
		time.Sleep(3 * time.Hour)
		for i := range 6 {
			w.mustFail(authorizerKey(merchant(i)), broker.StateQuotaExhausted)
		}
		w.sim.ClearFaults()
		w.broker.Renew(authorizerKey(merchant(0)))
		time.Sleep(time.Second)
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
		w.broker.SpendDay()
		w.sim.ExpireToken(merchant(0))
		before := w.sim.Calls(authorizerPath)
		time.Sleep(2 * time.Hour)
		s := w.mustFail(key, broker.StateQuotaExhausted)
		if n := w.sim.Calls(authorizerPath) - before; n != 0 || !strings.Contains(s.Reason, "budget") {
			t.Errorf("%d token calls beyond the budget; %+v", n, s)
		}
		w.broker.Renew(key)
		time.Sleep(time.Second)
		w.mustCall(key)
	})
}

// TestQuota_IsRememberedOverARestart restarts the broker again and again while quotas
// are used up: that must not cost a call each time. After the hour, or on the next day,
// it is asked again. The own account has never had a token.
func TestQuota_IsRememberedOverARestart(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2, own: true}, func(w *world) {
		time.Sleep(2 * time.Hour)
		w.halt()
		w.opts.Accounts[0].AppID = "wx00000000000000bb"
		w.sim.AddAccount("wx00000000000000bb", ownSecret)
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 45009})
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: 45009})
		w.start()
		w.ticket()
		time.Sleep(time.Second)
		keys := []broker.Key{authorizerKey(merchant(0)), {Kind: broker.KindAccount, AppID: "wx00000000000000bb"}}
		for _, key := range keys {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		calls := func() int { return w.sim.CallsFor(authorizerPath, merchant(0)) + w.sim.Calls(stablePath) }
		before := calls()
		for range 5 {
			time.Sleep(10 * time.Minute)
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
		time.Sleep(12 * time.Minute)
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
		time.Sleep(time.Hour)
		before := w.sim.Calls(queryAuthPath) + w.sim.Calls(listPath)
		time.Sleep(10 * time.Hour)
		if n := w.sim.Calls(queryAuthPath) + w.sim.Calls(listPath) - before; n > 20 {
			t.Errorf("a quota that is used up was asked %d times in ten hours", n)
		}
		w.sim.ClearFaults()
		time.Sleep(62 * time.Minute)
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
		time.Sleep(130 * time.Minute)
		keys := append(crowd{n: 6}.keys(), ownKey)
		for _, key := range keys {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		w.broker.ResetQuotas() // too early
		time.Sleep(time.Second)
		for _, key := range keys {
			w.mustFail(key, broker.StateQuotaExhausted)
		}
		w.sim.ClearFaults()
		w.broker.SpendDay()
		w.broker.ResetQuotas()
		time.Sleep(time.Second)
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
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(0), Errcode: -1})
		time.Sleep(2 * time.Hour)
		if s := w.mustFail(key, broker.StateQuotaExhausted); !strings.Contains(s.Reason, "this key") {
			t.Errorf("%+v", s)
		}
		if n := calls() - before; n < 8 || n > 13 {
			t.Errorf("%d token calls in twelve hours beyond the budget, want one an hour at most", n)
		}
		w.sim.ClearFaults()
		time.Sleep(61 * time.Minute)
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
			time.Sleep(30 * time.Second)
			tok, err := w.broker.Token(context.Background(), key)
			if err != nil || w.use(key, tok) != 0 {
				failed++
				continue
			}
			w.broker.Report(key, tok.Generation, 40001)
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
		time.Sleep(3 * time.Hour)
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

func TestMisconfigured_IsShownAndCuredByANewSecret(t *testing.T) {
	o := worldOptions{own: true, merchants: 1, adjust: func(o *broker.Options) {
		o.Accounts[0].Secret = secret.New("wrong")
	}}
	inWorld(t, o, func(w *world) {
		w.ticket()
		s := w.mustFail(ownKey, broker.StateMisconfigured)
		if s.Errcode == 0 || s.RetryAfter != 0 {
			t.Errorf("%+v", s)
		}
		before := w.sim.Calls(stablePath)
		time.Sleep(time.Hour)
		if n := w.sim.Calls(stablePath) - before; n < 10 || n > 30 {
			t.Errorf("probed %d times in an hour, want every few minutes", n)
		}
		w.mustCall(authorizerKey(merchant(0)))
		w.opts.Accounts[0].Secret = secret.New(ownSecret)
		if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.mustCall(ownKey)
	})
}

// TestMisconfigured_40001OnACallWithASecret is WeChat's other way to say that a secret
// is wrong; on a merchant's token call, which carries none, it is not.
func TestMisconfigured_40001OnACallWithASecret(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		w.ticket()
		for _, path := range []string{componentPath, stablePath, authorizerPath} {
			w.sim.Fault(path, wechattest.Fault{Errcode: 40001})
		}
		w.sim.ExpireAllTokens()
		w.mustFail(ownKey, broker.StateMisconfigured)
		w.mustFail(platformKey, broker.StateMisconfigured)
		w.sim.ClearFaults()
		w.broker.Renew(platformKey)
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 40001})
		time.Sleep(time.Second)
		w.mustFail(authorizerKey(merchant(0)), broker.StateRetrying)
		w.sim.ClearFaults()
	})
}

func TestMisconfigured_ATicketHasItTriedAgain(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(startPath, wechattest.Fault{Errcode: 40013, Times: 1})
		w.restart()
		time.Sleep(11 * time.Minute)
		w.ticket()
		time.Sleep(time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestMisconfigured_IPNotInTheWhitelist(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.RefuseIP(componentID, true)
		w.ticket()
		time.Sleep(time.Second)
		s := w.mustFail(authorizerKey(merchant(0)), broker.StateMisconfigured)
		if s.Errcode != 61004 {
			t.Errorf("%+v", s)
		}
		w.sim.RefuseIP(componentID, false)
		time.Sleep(4 * time.Minute)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestGarbage_NeverReplacesAToken(t *testing.T) {
	for _, mode := range wechattest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
				w.ticket()
				w.sim.Fault("/cgi-bin/component/api_*", wechattest.Fault{Mode: mode})
				w.sim.Fault(stablePath, wechattest.Fault{Mode: mode})
				time.Sleep(100 * time.Minute)
				// Where the spoilt call took effect, WeChat has put another token in the
				// place of ours, and nothing but its own refusal or the cause may be seen.
				if code, err := w.call(authorizerKey(merchant(0))); err == nil && code != 0 && !wechat.Stale(code) {
					t.Errorf("errcode %d, error %v", code, err)
				}
				w.sim.ClearFaults()
				time.Sleep(3 * time.Minute)
				w.mustCall(authorizerKey(merchant(0)))
				w.mustCall(ownKey)
				w.mustCall(platformKey)
			})
		})
	}
}

func TestStoreDown_ServedFromMemoryAndSavedLater(t *testing.T) {
	var down atomic.Bool
	refuse := errors.New("no space left on device")
	store := memstore.New(memstore.Options{
		Wait: func(context.Context) error {
			if down.Load() {
				return refuse
			}
			return nil
		},
	})
	lit(t, worldOptions{merchants: 2, own: true, store: store}, func(w *world) {
		w.ticket()
		down.Store(true)
		if err := w.broker.HandlePush(context.Background(), wechat.Push{
			ID: "x", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(componentID)),
		}); err == nil {
			t.Error("a ticket that is not durable was acknowledged")
		}
		keys := []broker.Key{authorizerKey(merchant(0)), authorizerKey(merchant(1)), ownKey, platformKey}
		if failed := w.keepCalling(keys, 5*time.Hour, 5*time.Minute); failed != 0 {
			t.Errorf("%d calls failed while the store was down", failed)
		}
		if n := w.metric("wxsidecar_unsaved_tokens"); n != 4 {
			t.Errorf("%g unsaved tokens are counted, want 4", n)
		}
		if n := w.metric("wxsidecar_renewals_total", "result", "unsaved"); n < 4 {
			t.Errorf("%g renewals are counted as unsaved, want one of each key at least", n)
		}
		down.Store(false)
		time.Sleep(10 * time.Second)
		if n := w.metric("wxsidecar_unsaved_tokens"); n != 0 {
			t.Errorf("%g unsaved tokens after the store's return", n)
		}
		before := w.tokenCalls()
		asked := w.sim.Calls(startPath)
		w.restart()
		for _, key := range keys {
			w.mustCall(key)
		}
		asked = w.sim.Calls(startPath) - asked // no ticket came for hours
		if n := w.tokenCalls() - before - asked; n != 0 {
			t.Errorf("%d token calls after the restart: what was unsaved was lost", n)
		}
	})
}

func TestWrongKey_IsToldApartFromDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, worldOptions{merchants: 1})
		w.start()
		w.ticket()
		w.halt()
		ring, err := seal.New([]byte("another key that has 32 bytes ..")[:32], nil)
		if err != nil {
			t.Fatal(err)
		}
		client := must(wechat.New(wechat.Options{Transport: w.sim.Transport()}))
		_, err = broker.New(broker.Options{WeChat: client, Store: w.store, Seal: ring, Now: time.Now})
		if !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "seal.key_file") {
			t.Errorf("opened with another key: %v", err)
		}
	})
}

func TestIdle_IsNotRenewedAhead(t *testing.T) {
	lit(t, worldOptions{merchants: 10}, func(w *world) {
		defer w.tickets()()
		busy := authorizerKey(merchant(0))
		before := w.sim.Calls(authorizerPath)
		w.keepCalling([]broker.Key{busy}, 48*time.Hour, 30*time.Minute)
		if n := w.sim.Calls(authorizerPath) - before; n < 30 || n > 40+9*3 {
			t.Errorf("%d renewals in two days for one busy and nine idle authorizers", n)
		}
		for i := range 10 {
			w.mustCall(authorizerKey(merchant(i)))
		}
	})
}

func TestTicketsForPages(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		defer w.tickets()()
		for _, key := range []broker.Key{
			{Kind: broker.KindJSAPITicket, AppID: merchant(0)},
			{Kind: broker.KindWXCardTicket, AppID: merchant(0)},
			{Kind: broker.KindJSAPITicket, AppID: ownID},
		} {
			first, err := w.broker.Token(context.Background(), key)
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			again := must(w.broker.Token(context.Background(), key))
			if first != again {
				t.Errorf("%s was fetched twice", key)
			}
			w.sim.ExpireToken(key.AppID)
			time.Sleep(130 * time.Minute)
			later, err := w.broker.Token(context.Background(), key)
			if err != nil || later.Generation <= first.Generation {
				t.Errorf("%s after 130 minutes: %v, %v", key, later, err)
			}
		}
		_, err := w.broker.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: "wxffffffffffffffff"})
		if !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("a ticket of nobody's: %v", err)
		}
	})
}
