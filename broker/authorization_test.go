package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestAuthorized_TheCodeIsExchangedAfterTheAnswer(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Latency: 3 * time.Second})
		start := time.Now()
		w.authorize(merchant(1))
		if took := time.Since(start); took > 0 {
			t.Errorf("the push was answered after %s", took)
		}
		pass(5 * time.Second)
		w.mustCall(authorizerKey(merchant(1)))
		if n := w.sim.Calls(authorizerPath); n != 0 {
			t.Errorf("the token that came with the exchange was not used: %d renewals", n)
		}
	})
}

// Whoever tells an app of an authorization waits until its token can be used, also after a
// restart in the middle.
func TestAuthorizationPending(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		if w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("an authorization is pending that nobody gave")
		}
		w.sim.Fault(queryAuthPath, wechattest.Fault{Latency: 3 * time.Second})
		w.authorize(merchant(1))
		pass(2 * time.Second)
		if !w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("nothing is pending during the exchange")
		}
		if w.broker.AuthorizationPending(componentID, merchant(2)) {
			t.Error("another merchant's is pending too")
		}
		pass(2 * time.Second)
		if w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("the authorization is pending after the exchange")
		}
		w.mustCall(authorizerKey(merchant(1)))
	})
}

func TestAuthorizationPending_AfterARestart(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Mode: wechattest.Refuse})
		w.authorize(merchant(1))
		w.halt()
		w.open()
		if !w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("nothing is pending before the inbox was read")
		}
		w.run()
		pass(time.Second)
		if !w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("nothing is pending after the inbox was read")
		}
		w.sim.ClearFaults()
		pass(time.Minute)
		if w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("the authorization is still pending")
		}
	})
}

// Where WeChat is away at a start, only those wait whose authorization does: what others are told
// has nothing to do with WeChat.
func TestAuthorizationPending_OfOthersInAnOutage(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.authorize(merchant(2))
		pass(time.Minute)
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Mode: wechattest.Refuse})
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Refuse})
		w.authorize(merchant(1))
		pass(3 * time.Hour)
		w.halt()
		w.open()
		w.run()
		pass(10 * time.Second)
		if !w.broker.AuthorizationPending(componentID, merchant(1)) {
			t.Error("the authorization that waits is not pending")
		}
		if w.broker.AuthorizationPending(componentID, merchant(2)) {
			t.Error("another merchant's is pending too")
		}
	})
}

func TestAuthorized_SurvivesACrashAndAnOutage(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Mode: wechattest.Refuse})
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Refuse})
		w.authorize(merchant(1))
		pass(time.Second)
		w.restart()
		pass(time.Minute)
		w.sim.ClearFaults()
		pass(10 * time.Second)
		w.mustCall(authorizerKey(merchant(1)))
		if n := w.sim.Calls(authorizerPath); n != 0 {
			t.Errorf("the code was not exchanged after the restart: %d renewals", n)
		}
	})
}

func TestAuthorized_ASpentCodeIsNoLoss(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Mode: wechattest.ResetAfter, Effect: true, Times: 1})
		w.authorize(merchant(1)) // WeChat takes the code, and we never see the answer
		pass(time.Minute)
		w.mustCall(authorizerKey(merchant(1)))
	})
}

// TestAuthorized_WaitsForTheTicketOnly has events come before the first ticket: their
// codes live ten minutes, so they are exchanged as soon as a component token is there.
func TestAuthorized_WaitsForTheTicketOnly(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.authorize(merchant(1))
		w.authorize(merchant(2))
		pass(9 * time.Minute)
		w.ticket()
		pass(time.Second)
		if n := w.sim.Calls(queryAuthPath); n != 2 {
			t.Errorf("%d exchanges a second after the ticket, want both", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.mustCall(authorizerKey(merchant(2)))
	})
}

// TestAuthorized_ManyDuringAnOutage has many events wait in the inbox while WeChat
// lets every call hang: one shows that, and the others wait for its return.
func TestAuthorized_ManyDuringAnOutage(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Mode: wechattest.Hang})
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Hang})
		for i := range 40 {
			w.authorize(merchant(100 + i))
		}
		pass(10 * time.Minute)
		if n := w.sim.Calls(queryAuthPath); n > 1 {
			t.Errorf("%d exchanges were tried while nothing answered", n)
		}
		w.sim.ClearFaults()
		pass(5 * time.Second)
		for i := range 40 {
			w.mustCall(authorizerKey(merchant(100 + i)))
		}
	})
}

// TestAuthorized_TakenBackBeforeItIsRecovered has a spent code's event outlived by the
// news that the merchant took the authorization back: info, asked too early, may still
// show it, but the later word counts.
func TestAuthorized_TakenBackBeforeItIsRecovered(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61009})
		w.sim.Fault(infoPath, wechattest.Fault{Latency: 2 * time.Second})
		w.authorize(merchant(0))
		pass(time.Second)
		w.revoke(merchant(0), time.Now())
		pass(2 * time.Second)
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		w.sim.ClearFaults()
	})
}

// TestAuthorized_ASpentCodeWithoutAnAppID leaves nothing to ask about but the list.
func TestAuthorized_ASpentCodeWithoutAnAppID(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		pass(2 * time.Minute)
		code := w.sim.Authorize(componentID, merchant(5))
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61009})
		w.mustPush(wechat.Push{
			ID: "f", Component: componentID, InfoType: wechat.InfoFastVerifyBeta, CreateTime: time.Now(), Code: secret.New(code),
		})
		pass(2 * time.Second)
		w.sim.ClearFaults()
		before := w.sim.Calls(listPath)
		w.mustCall(authorizerKey(merchant(5)))
		if n := w.sim.Calls(listPath) - before; n != 0 {
			t.Errorf("the list was read %d times for a call, want before it", n)
		}
	})
}

// TestAuthorized_IsGivenUpAfterADay has an event that never comes to anything; after a
// day it is let go of, and costs no call any more.
func TestAuthorized_IsGivenUpAfterADay(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		defer w.tickets()()
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 48001})
		w.authorize(merchant(5))
		pass(25 * time.Hour)
		before := w.sim.Calls(queryAuthPath)
		if before < 24 {
			t.Errorf("it was tried %d times in a day", before)
		}
		pass(5 * time.Hour)
		if n := w.sim.Calls(queryAuthPath) - before; n != 0 {
			t.Errorf("it was tried %d times after a day", n)
		}
		if left := must(w.store.List(context.Background(), "inbox/", "", 10)); len(left) != 0 {
			t.Errorf("%d events are still in the inbox", len(left))
		}
		w.sim.ClearFaults()
	})
}

func TestFastRegister_TheCodeIsExchanged(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		code := w.sim.Authorize(componentID, merchant(9))
		w.mustPush(wechat.Push{
			ID: "f", Component: componentID, InfoType: wechat.InfoFastRegister, CreateTime: time.Now(),
			AuthorizerAppID: merchant(9), Code: secret.New(code),
		})
		pass(time.Second)
		w.mustCall(authorizerKey(merchant(9)))
	})
}

// TestAuthorization_AnOperatorHasAVerdictLookedAtAgain has WeChat answer 45009 where a
// verdict is looked at again, so that the next look waits for an hour; meanwhile the
// merchant authorises, the event is lost, and an operator has the quota cleared.
func TestAuthorization_AnOperatorHasAVerdictLookedAtAgain(t *testing.T) {
	for _, path := range []string{authorizerPath, infoPath} {
		t.Run(path, func(t *testing.T) {
			lit(t, worldOptions{merchants: 1}, func(w *world) {
				key := authorizerKey(merchant(0))
				w.sim.VoidRefreshToken(componentID, merchant(0))
				w.sim.ExpireToken(merchant(0))
				w.mustFail(key, broker.StateNeedsAuthorization)
				w.sim.Fault(path, wechattest.Fault{Errcode: 45009})
				pass(2 * time.Minute)
				w.mustFail(key, broker.StateNeedsAuthorization)
				w.sim.ClearFaults()
				w.sim.Authorize(componentID, merchant(0))
				pass(2 * time.Minute)
				w.mustFail(key, broker.StateNeedsAuthorization)
				w.broker.Admin().ResetBudgets()
				w.mustCall(key)
			})
		})
	}
}
