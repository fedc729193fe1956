package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestWake_ARetryIsNotForgottenBehindSlowRenewals has WeChat take its time for as many
// merchants as there are workers, and refuse another merchant's renewal once: its next
// is due in a second, and there is room for those that somebody waits for.
func TestWake_ARetryIsNotForgottenBehindSlowRenewals(t *testing.T) {
	lit(t, worldOptions{merchants: 9}, func(w *world) {
		for i := range 8 {
			w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(i), Latency: 8 * time.Second})
			w.sim.Displace(merchant(i))
			go func() { _, _ = w.call(authorizerKey(merchant(i))) }()
		}
		pass(time.Second / 2)
		w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(8), Errcode: -1, Times: 1})
		w.sim.Displace(merchant(8))
		start := time.Now()
		w.mustCall(authorizerKey(merchant(8)))
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("the call took %s, want the second until the retry", took)
		}
		pass(10 * time.Second)
	})
}

// TestWake_OneFailedPathOfWeChatsPutsOffNothingElse has the list of authorizers asked
// for while renewals pause, because one call was not answered.
func TestWake_OneFailedPathOfWeChatsPutsOffNothingElse(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault("/", wechattest.Fault{Latency: time.Second}) // the probe
		w.sim.Fault(authorizerPath, wechattest.Fault{Mode: wechattest.ResetAfter, Times: 1})
		w.sim.Displace(merchant(0))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = w.call(authorizerKey(merchant(0)))
		}()
		pass(time.Second / 2)
		before := w.sim.Calls(listPath)
		w.broker.Reconcile(componentID)
		pass(2 * time.Second)
		if n := w.sim.Calls(listPath) - before; n != 1 {
			t.Errorf("the list was read %d times, want once WeChat was known to answer", n)
		}
		<-ended
	})
}

// TestAgain_RetryAmidARenewalThatEndsBlocked has an operator's word come while a renewal
// is under way that then waits for its component.
func TestAgain_RetryAmidARenewalThatEndsBlocked(t *testing.T) {
	for name, say := range map[string]func(*world){
		"all":  func(w *world) { w.broker.Admin().ResetBudgets() },
		"one":  func(w *world) { w.broker.Renew(authorizerKey(merchant(0))) },
		"both": func(w *world) { w.broker.Renew(platformKey); w.broker.Renew(authorizerKey(merchant(0))) },
	} {
		for _, slow := range []time.Duration{0, time.Second, 3 * time.Second} {
			lit(t, worldOptions{merchants: 1}, func(w *world) {
				w.sim.Fault(authorizerPath, wechattest.Fault{Latency: 2 * time.Second})
				w.sim.Fault(componentPath, wechattest.Fault{Latency: slow})
				w.sim.Displace(componentID)
				w.sim.Displace(merchant(0))
				before := w.sim.Calls(authorizerPath)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = w.call(authorizerKey(merchant(0)))
				}()
				pass(time.Second)
				say(w)
				<-ended
				pass(20 * time.Second)
				if n := w.sim.Calls(authorizerPath) - before; n > 2 {
					t.Errorf("%s, component's token in %s: %d calls, want the refused one and one more", name, slow, n)
				}
				w.mustCall(authorizerKey(merchant(0)))
			})
		}
	}
}

// TestResetBudgets_WhatAPersonHasCured is tried at once: the whitelist has our address now.
func TestResetBudgets_WhatAPersonHasCured(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		w.sim.RefuseIP(componentID, true)
		w.sim.RefuseIP(ownID, true)
		w.sim.ExpireAllTokens()
		w.mustFail(authorizerKey(merchant(0)), broker.StateMisconfigured)
		w.mustFail(ownKey, broker.StateMisconfigured)
		w.sim.RefuseIP(componentID, false)
		w.sim.RefuseIP(ownID, false)
		w.mustFail(ownKey, broker.StateMisconfigured) // the probe comes within three minutes
		w.broker.Admin().ResetBudgets()
		w.mustCall(authorizerKey(merchant(0)))
		w.mustCall(ownKey)
	})
}

// TestResetBudgets_BeforeTheFirstTicket has WeChat refuse even to push tickets.
func TestResetBudgets_BeforeTheFirstTicket(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.halt()
		w.store = memstore.New(memstore.Options{})
		w.sim.Fault(startPath, wechattest.Fault{Errcode: 61004})
		w.start()
		pass(2 * time.Minute)
		w.mustFail(platformKey, broker.StateMisconfigured)
		before := w.sim.Calls(startPath)
		w.broker.Admin().ResetBudgets() // too early
		pass(time.Second)
		w.mustFail(platformKey, broker.StateMisconfigured)
		w.sim.ClearFaults()
		w.broker.Admin().ResetBudgets()
		pass(time.Second)
		if n := w.sim.Calls(startPath) - before; n != 2 {
			t.Errorf("tickets were asked for %d times, want once for each word of the operator's", n)
		}
		w.mustFail(platformKey, broker.StateWaitingTicket)
		before = w.sim.Calls(startPath)
		for range 5 {
			w.broker.Admin().ResetBudgets()
			pass(time.Second)
		}
		if n := w.sim.Calls(startPath) - before; n != 0 {
			t.Errorf("tickets were asked for %d times although WeChat was about to push them", n)
		}
	})
}

// TestSetConfig_AccountsGoneAsTheirRenewalsEnd is for the race detector.
func TestSetConfig_AccountsGoneAsTheirRenewalsEnd(t *testing.T) {
	const many = 100
	appID := func(i int) string { return fmt.Sprintf("wxb%015x", i) }
	o := worldOptions{adjust: func(o *broker.Options) {
		for i := range many {
			o.Accounts = append(o.Accounts, broker.AccountConfig{AppID: appID(i), Secret: secret.New(ownSecret)})
		}
	}}
	lit(t, o, func(w *world) {
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 40001, Latency: time.Second})
		for i := range many {
			go func() {
				_, _ = w.broker.Token(context.Background(), broker.Key{Kind: broker.KindAccount, AppID: appID(i)})
			}()
			w.broker.Renew(broker.Key{Kind: broker.KindAccount, AppID: appID(i)})
		}
		pass(time.Second)
		if err := w.broker.SetConfig(w.opts.Components, nil); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := w.broker.InUse(); n != 1 {
			t.Errorf("%d keys are in use, want the component", n)
		}
	})
}
