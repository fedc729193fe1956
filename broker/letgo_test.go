package broker_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestSetConfig_GoneAndBackAmidARenewal takes an own account out of the
// configuration while its renewal is under way, and puts it back. What is left of
// the first must not stand in the way of the second, also not hours later when it
// counts as idle.
func TestSetConfig_GoneAndBackAmidARenewal(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		w.sim.Fault(stablePath, wechattest.Fault{Latency: 2 * time.Second})
		w.sim.Displace(ownID)
		waited := make(chan error, 1)
		go func() {
			_, err := w.call(ownKey)
			waited <- err
		}()
		pass(time.Second)
		if err := w.broker.SetConfig(w.opts.Components, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("who waited for an account that is configured no longer: %v", err)
		}
		pass(3 * time.Second)
		w.sim.ClearFaults()
		if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
			t.Fatal(err)
		}
		defer w.tickets()()
		if failed := w.keepCalling([]broker.Key{ownKey}, 12*time.Hour, 10*time.Minute); failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		if n := w.broker.InUse(); n != 2 {
			t.Errorf("%d keys are in use, want the component and the account", n)
		}
	})
}

// TestSetConfig_ComponentGoneAmidRenewals takes a component away while renewals of
// its authorizers are under way: nothing may try for them again and again.
func TestSetConfig_ComponentGoneAmidRenewals(t *testing.T) {
	lit(t, worldOptions{merchants: 3}, func(w *world) {
		w.sim.Fault(authorizerPath, wechattest.Fault{Latency: 2 * time.Second, Errcode: -1})
		for i := range 3 {
			w.sim.Displace(merchant(i))
			go func() { _, _ = w.call(authorizerKey(merchant(i))) }()
		}
		pass(time.Second)
		before := w.metric("wxsidecar_renewals_total")
		if err := w.broker.SetConfig(nil, nil); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if n := w.metric("wxsidecar_renewals_total") - before; n > 3 {
			t.Errorf("%g renewals ended after the component was taken away, want the three that were under way", n)
		}
		if n := w.broker.InUse(); n != 0 {
			t.Errorf("%d keys are in use", n)
		}
		if _, err := w.broker.Token(context.Background(), authorizerKey(merchant(0))); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("an authorizer of a component that is configured no longer: %v", err)
		}
		w.sim.ClearFaults()
	})
}

// TestSetConfig_TicketsForPagesGoWithTheirAccount has an own account, and then the
// component of a merchant, be configured no longer.
func TestSetConfig_TicketsForPagesGoWithTheirAccount(t *testing.T) {
	lit(t, worldOptions{own: true, merchants: 1}, func(w *world) {
		stop := w.tickets()
		must(w.broker.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: ownID}))
		must(w.broker.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID}))
		reads := w.sim.Calls(listPath)
		if err := w.broker.SetConfig(w.opts.Components, nil); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Hour)
		stop()
		if n := w.sim.Calls(listPath) - reads; n != 0 {
			t.Errorf("the list was read %d times for an account that is gone", n)
		}
		must(w.broker.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID}))
		if err := w.broker.SetConfig(nil, nil); err != nil {
			t.Fatal(err)
		}
		if n := w.broker.InUse(); n != 0 {
			t.Errorf("%d keys are in use, of none that is configured", n)
		}
	})
}

// TestSetConfig_GoneBeforeTheCacheShowsIt drops a merchant the moment that it was brought
// into use. The cache may show what it was told only afterwards, and must not serve the
// dropped one from then on.
func TestSetConfig_GoneBeforeTheCacheShowsIt(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the cache's goroutine comes last
		configure := func(components []broker.ComponentConfig) {
			t.Helper()
			if err := w.broker.SetConfig(components, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			configure(nil)
			w.broker.AwaitCache()
			configure(w.opts.Components)
			w.broker.AwaitCache()
			must(w.broker.Account(context.Background(), merchant(0), broker.Choice{}))
			configure(nil)
			w.broker.AwaitCache()
			if w.broker.Orphan(authorizerKey(merchant(0))) {
				w.t.Fatal("the cache serves a merchant who was dropped")
			}
		}
	})
}

// TestSetConfig_GoneAndBackWithAFullDisk has the renewals of a component and an own account
// end while they are configured no longer and the disk is full. Memory has what they
// brought; configured again, they are as good as any other, also when nobody calls.
func TestSetConfig_GoneAndBackWithAFullDisk(t *testing.T) {
	d := newDisk("")
	lit(t, worldOptions{merchants: 1, own: true, store: d}, func(w *world) {
		defer w.tickets()()
		for path, key := range map[string]broker.Key{componentPath: platformKey, stablePath: ownKey} {
			w.sim.Fault(path, wechattest.Fault{Latency: 2 * time.Second})
			w.sim.Displace(key.AppID)
			go func() { _, _ = w.call(key) }()
		}
		pass(time.Second)
		d.full.Store(true)
		if err := w.broker.SetConfig(nil, nil); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
			t.Fatal(err)
		}
		w.sim.ClearFaults()
		d.freed()
		pass(30 * time.Hour)
		if n := len(w.broker.Status()); n != 2 {
			t.Errorf("/tokenz shows %d keys, want 2", n)
		}
		for _, key := range []broker.Key{authorizerKey(merchant(0)), ownKey} {
			if code, err := w.call(key); code != 0 || err != nil {
				t.Errorf("%s: errcode %d, error %v", key, code, err)
			}
		}
	})
}
