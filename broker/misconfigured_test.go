package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

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
		pass(time.Hour)
		if n := w.sim.Calls(stablePath) - before; n < 10 || n > 30 {
			t.Errorf("probed %d times in an hour, want every few minutes", n)
		}
		w.mustCall(authorizerKey(merchant(0)))
		w.opts.Accounts[0].Secret = secret.New(ownSecret)
		if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
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
		pass(time.Second)
		w.mustFail(authorizerKey(merchant(0)), broker.StateRetrying)
		w.sim.ClearFaults()
	})
}

func TestMisconfigured_ATicketHasItTriedAgain(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(startPath, wechattest.Fault{Errcode: 40013, Times: 1})
		w.restart()
		pass(11 * time.Minute)
		w.ticket()
		pass(time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestMisconfigured_IPNotInTheWhitelist(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.RefuseIP(componentID, true)
		w.ticket()
		pass(time.Second)
		s := w.mustFail(authorizerKey(merchant(0)), broker.StateMisconfigured)
		if s.Errcode != 61004 {
			t.Errorf("%+v", s)
		}
		w.sim.RefuseIP(componentID, false)
		pass(4 * time.Minute)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestMisconfigured_WithoutAnyTicket has WeChat refuse even to push tickets, as the secret
// is wrong: that is what is shown all the time, and a new secret is tried soon.
func TestMisconfigured_WithoutAnyTicket(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.halt()
		w.sim.AddComponent(wechattest.Component{AppID: componentID, Secret: "a-secret-that-was-reset-0123456789"})
		w.store = memstore.New(memstore.Options{})
		w.start()
		pass(time.Second)
		for range 6 * 60 { // hours
			if m := w.broker.Missing(); len(m) != 1 || m[0].State != "misconfigured" || !strings.Contains(m[0].Reason, "40125") {
				t.Fatalf("missing: %+v", m)
			}
			pass(time.Minute)
		}
		w.mustFail(platformKey, broker.StateMisconfigured)
		if n := w.sim.Calls(startPath); n > 9 {
			t.Errorf("WeChat was asked %d times, want ever less often", n)
		}
		before := w.sim.Calls(startPath)
		w.sim.AddComponent(wechattest.Component{AppID: componentID, Secret: "a-secret-that-was-reset-0123456780"})
		right := []broker.ComponentConfig{{AppID: componentID, Secret: secret.New("a-secret-that-was-reset-0123456780")}}
		if err := w.broker.SetConfig(right, nil); err != nil {
			t.Fatal(err)
		}
		pass(9 * time.Minute)
		if n := w.sim.Calls(startPath) - before; n != 1 {
			t.Errorf("asked %d times within nine minutes of the new secret, want once", n)
		}
		w.mustFail(platformKey, broker.StateWaitingTicket)
		w.ticket()
		w.mustCall(platformKey)
	})
}
