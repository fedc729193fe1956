package broker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestAgain_TicketsAreAskedForWithPatienceWhereThatCallHangs has WeChat leave the one
// call unanswered and answer all others.
func TestAgain_TicketsAreAskedForWithPatienceWhereThatCallHangs(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.sim.Fault(startPath, wechattest.Fault{Mode: wechattest.Hang})
		before := w.sim.Calls(startPath)
		pass(100 * time.Minute)
		if n := w.sim.Calls(startPath) - before; n > 10 {
			t.Errorf("asked %d times in 100 minutes, want at most once in ten", n)
		}
	})
}

// TestAgain_TicketsAreAskedForAtTheEndOfAnOutage has the first question fall into an
// outage: the next need not wait for its turn.
func TestAgain_TicketsAreAskedForAtTheEndOfAnOutage(t *testing.T) {
	o := worldOptions{}
	inWorld(t, o, func(w *world) {
		w.halt()
		w.store = memstore.New(memstore.Options{})
		must(0, w.sim.Outage(true))
		w.start()
		pass(time.Minute)
		before := w.sim.Calls(startPath)
		must(0, w.sim.Outage(false))
		pass(5 * time.Second)
		if n := w.sim.Calls(startPath) - before; n != 1 {
			t.Errorf("asked %d times after WeChat's return, want once", n)
		}
	})
}

// TestAgain_AWeChatThatComesAndGoesIsNotAskedEachTime has four probes in five go
// unanswered, and every token call.
func TestAgain_AWeChatThatComesAndGoesIsNotAskedEachTime(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Refuse, Probability: 0.8})
		w.sim.Fault(stablePath, wechattest.Fault{Mode: wechattest.Refuse})
		w.sim.ExpireToken(ownID)
		before := w.sim.Calls(stablePath)
		for end := time.Now().Add(20 * time.Minute); time.Now().Before(end); pass(time.Second) {
			_, _ = w.call(ownKey)
		}
		if n := w.sim.Calls(stablePath) - before; n > 36 {
			t.Errorf("%d calls in 20 minutes, want one or two a minute", n)
		}
	})
}

// TestAgain_TheListOnAFullDisk comes to be read, and the date of that cannot be kept.
func TestAgain_TheListOnAFullDisk(t *testing.T) {
	var full atomic.Bool
	store := memstore.New(memstore.Options{FailPut: func([]store.Write) error {
		if full.Load() {
			return errDisk
		}
		return nil
	}})
	lit(t, worldOptions{store: store}, func(w *world) {
		stop := w.tickets()
		pass(5 * time.Hour)
		stop()
		full.Store(true)
		before := w.sim.Calls(listPath)
		pass(2 * time.Hour)
		full.Store(false)
		if n := w.sim.Calls(listPath) - before; n != 1 {
			t.Errorf("the list was read %d times in two hours, want once", n)
		}
	})
}

// TestAgain_ABriefTokenDoesNotHurryTheNext has WeChat tell of a token in its last
// minutes, and then refuse: pauses are shares of a whole life, not of what is left.
func TestAgain_ABriefTokenDoesNotHurryTheNext(t *testing.T) {
	lit(t, worldOptions{merchants: 1, sim: wechattest.Options{StickyTokens: true}}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Displace(merchant(0))
		pass(114 * time.Minute)
		w.ticket()
		w.mustCall(key)
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: -1})
		before := w.sim.Calls(authorizerPath)
		for end := time.Now().Add(30 * time.Minute); time.Now().Before(end); pass(time.Second) {
			_, _ = w.call(key)
		}
		if n := w.sim.Calls(authorizerPath) - before; n > 28 {
			t.Errorf("%d renewals in half an hour in which WeChat refused, want at most one a minute", n)
		}
	})
}

// TestAgain_APauseOutlivesAnOtherClock has a renewal fail of the old cause by a clock
// that is an hour ahead, of which WeChat's next answer tells.
func TestAgain_APauseOutlivesAnOtherClock(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		w.halt()
		w.wall = time.Hour
		pass(3 * time.Hour)
		w.sim.Fault("*", wechattest.Fault{Mode: wechattest.Hang})
		w.start()
		pass(time.Second)
		w.sim.ClearFaults() // what hangs is broken off
		w.sim.Fault("/", wechattest.Fault{Latency: time.Second})
		pass(2 * time.Minute)
		w.mustCall(ownKey)
	})
}

// TestIdle_ATicketForPagesDoesNotWaitForWhoIsForgotten has a ticket wait for its
// account's token for so long that the account counts as idle and is let go of once
// its component lives again.
func TestIdle_ATicketForPagesDoesNotWaitForWhoIsForgotten(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID}
		must(w.broker.Token(context.Background(), key))
		set := func(s string) {
			if err := w.broker.SetConfig([]broker.ComponentConfig{{AppID: componentID, Secret: secret.New(s)}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		set("wrong")
		for range 5 {
			pass(100 * time.Minute)
			w.ticket()
		}
		set(appSecret)
		pass(time.Minute)
		must(w.broker.Token(context.Background(), key))
	})
}

// TestUnauthorized_ATicketForPagesOnItsWay is answered after the merchant has taken
// the authorization back for which it was asked.
func TestUnauthorized_ATicketForPagesOnItsWay(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID}
		w.sim.Fault(jsapiPath, wechattest.Fault{Drip: 5 * time.Millisecond})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = w.broker.Token(context.Background(), key)
		}()
		pass(200 * time.Millisecond)
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now())
		<-ended
		pass(5 * time.Second)
		tok, err := w.broker.Token(context.Background(), key)
		var s *broker.StateError
		if !errors.As(err, &s) || s.State != broker.StateUnauthorized {
			t.Errorf("%v, %v", tok, err)
		}
	})
}

// TestAuthorized_TakenBackBeforeTheExchange is the event of an authorization that is
// no more: WeChat refuses its code with 61003.
func TestAuthorized_TakenBackBeforeTheExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		code := w.sim.Authorize(componentID, merchant(0))
		created := time.Now()
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now())
		w.mustPush(wechat.Push{
			ID: "a" + code, Component: componentID, InfoType: wechat.InfoAuthorized, CreateTime: created,
			AuthorizerAppID: merchant(0), Code: secret.New(code), CodeExpires: created.Add(10 * time.Minute),
		})
		pass(time.Hour)
		if n := w.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("the code was exchanged %d times in an hour, want once", n)
		}
	})
}

// TestStoreDown_ARepeatIsAcknowledgedOnceTheStoreWorks does not have WeChat send an
// event once more because the next round of saving is seconds away.
func TestStoreDown_ARepeatIsAcknowledgedOnceTheStoreWorks(t *testing.T) {
	store, down := failing()
	lit(t, worldOptions{merchants: 1, store: store}, func(w *world) {
		p := wechat.Push{
			ID: "u", Component: componentID, InfoType: wechat.InfoUnauthorized,
			CreateTime: time.Now(), AuthorizerAppID: merchant(0),
		}
		down.Store(true)
		if w.broker.HandlePush(context.Background(), p) == nil {
			t.Fatal("it was acknowledged and is not durable")
		}
		down.Store(false)
		w.mustPush(p)
	})
}

// TestQuota_OfThoseInDoubt is asked for once an hour, whatever else the list's
// goroutine is woken for.
func TestQuota_OfThoseInDoubt(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Unlist(componentID, merchant(0), true)
		w.sim.Fault(infoPath, wechattest.Fault{Errcode: 45009})
		w.ticket()
		defer w.tickets()()
		pass(5*time.Hour + 30*time.Minute)
		if n := w.sim.Calls(infoPath); n > 6 {
			t.Errorf("asked %d times in five hours and a half, want once an hour", n)
		}
	})
}

// TestQuota_AnOperatorResetsWhatIsNoKey has an event, the list and an account that
// is not in memory stopped by 45009.
func TestQuota_AnOperatorResetsWhatIsNoKey(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		defer w.tickets()()
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Errcode: 45009})
		w.authorize(merchant(1))
		w.broker.Reconcile(componentID)
		pass(10 * time.Minute)
		w.sim.ClearFaults()
		lists := w.sim.Calls(listPath)
		w.broker.Admin().ResetBudgets()
		pass(2 * time.Second)
		w.mustCall(authorizerKey(merchant(1)))
		if n := w.sim.Calls(listPath) - lists; n == 0 {
			t.Error("the list was not read")
		}
	})
}

// TestQuota_ResetBeforeTheAccountIsLoaded has the account's record speak of a quota
// that an operator has had cleared since.
func TestQuota_ResetBeforeTheAccountIsLoaded(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 45009})
		w.sim.ExpireToken(merchant(0))
		_, _ = w.call(key)
		must(0, w.broker.SetConfig(nil, nil)) // lets go of it
		w.sim.ClearFaults()
		w.broker.Admin().ResetBudgets()
		must(0, w.broker.SetConfig(w.opts.Components, nil))
		w.mustCall(key)
	})
}

// TestUnauthorized_WithinTheSecondOfTheExchange is told in whole seconds.
func TestUnauthorized_WithinTheSecondOfTheExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		code := w.sim.Authorize(componentID, merchant(0))
		pass(300 * time.Millisecond)
		must(w.broker.QueryAuth(context.Background(), componentID, secret.New(code)))
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now().Truncate(time.Second))
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
	})
}

// TestAgain_TheEndSavesAtASecondTry ends a run with a token that the store did not take,
// and does not take at once.
func TestAgain_TheEndSavesAtASecondTry(t *testing.T) {
	var refusals atomic.Int32
	store := memstore.New(memstore.Options{FailPut: func([]store.Write) error {
		if refusals.Add(-1) >= 0 {
			return errDisk
		}
		return nil
	}})
	lit(t, worldOptions{merchants: 1, store: store}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Displace(merchant(0))
		refusals.Store(3)
		w.mustCall(key)
		held := must(w.broker.Token(context.Background(), key))
		w.restart()
		if got := must(w.broker.Token(context.Background(), key)); got.Generation != held.Generation {
			t.Errorf("%v before the end, %v after it", held, got)
		}
	})
}
