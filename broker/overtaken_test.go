package broker_test

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// authorizeOther lets a merchant authorise the second component, and pushes the event.
func (w *world) authorizeOther(appID string) {
	w.t.Helper()
	code := w.sim.Authorize(otherComponentID, appID)
	w.mustPush(wechat.Push{
		ID: "a" + code, Component: otherComponentID, InfoType: wechat.InfoAuthorized, CreateTime: time.Now(),
		AuthorizerAppID: appID, Code: secret.New(code), CodeExpires: time.Now().Add(10 * time.Minute),
	})
}

// TestOvertaken_ByAnAuthorization has a merchant authorise, again or another component,
// while a renewal is under way that comes to nothing: what it came to is of the past.
func TestOvertaken_ByAnAuthorization(t *testing.T) {
	slow := func(code int) wechattest.Fault {
		return wechattest.Fault{Errcode: code, Latency: time.Second, Times: 1}
	}
	for name, c := range map[string]struct {
		arrange   func(*world)
		authorize func(*world)
	}{
		"taken back": {
			func(w *world) {
				w.sim.Fault(authorizerPath, slow(61003))
				w.sim.Fault(infoPath, slow(61003))
			},
			func(w *world) { w.authorize(merchant(0)) },
		},
		"void": {
			func(w *world) {
				w.sim.Fault(authorizerPath, slow(42007))
				w.sim.Fault(authorizerPath, slow(42007))
			},
			func(w *world) { w.authorize(merchant(0)) },
		},
		"waits for the first component": {
			func(w *world) {
				w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 40001, Latency: 2 * time.Second, Times: 1})
				w.sim.Fault(componentPath, wechattest.Fault{AppID: componentID, Errcode: 40125})
			},
			func(w *world) { w.authorizeOther(merchant(0)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTwo(t, func(w *world, key broker.Key, ticket func(*world)) {
				c.arrange(w)
				w.broker.Renew(key)
				pass(1500 * time.Millisecond)
				c.authorize(w)
				pass(5 * time.Second)
				w.mustCall(key)
				if n := w.metric("wxsidecar_keys", "kind", "authorizer", "state", "live"); n != 1 {
					t.Errorf("%g authorizers are counted as live, want 1", n)
				}
				for range 18 { // three hours: it is renewed ahead
					pass(10 * time.Minute)
					w.ticket()
					ticket(w)
					before := w.sim.CallsFor(authorizerPath, merchant(0))
					w.mustCall(key)
					if n := w.sim.CallsFor(authorizerPath, merchant(0)) - before; n != 0 {
						t.Error("a call had to wait for a renewal")
					}
				}
			})
		})
	}
}

// TestOvertaken_ByAList has the second component's list show that a merchant has gone
// over to it, while a renewal by the first is under way, which goes well.
func TestOvertaken_ByAList(t *testing.T) {
	inTwo(t, func(w *world, key broker.Key, ticket func(*world)) {
		w.sim.Authorize(otherComponentID, merchant(0))
		w.sim.Unlist(otherComponentID, merchant(0), false)
		w.sim.Fault(authorizerPath, wechattest.Fault{Latency: 3 * time.Second, Times: 1})
		w.broker.Renew(key)
		pass(time.Second)
		w.broker.Reconcile(otherComponentID)
		pass(10 * time.Second)
		w.mustCall(key)
		if a := must(w.broker.Account(t.Context(), merchant(0))); a.Component != otherComponentID {
			t.Errorf("the account went back to %s", a.Component)
		}
	})
}

// TestAuthorized_LateDoesNotUndoALaterOne has the event of the first component wait for
// its ticket, until the merchant has authorised the second; and the code be still good, or
// too old.
func TestAuthorized_LateDoesNotUndoALaterOne(t *testing.T) {
	for _, late := range []time.Duration{2 * time.Minute, time.Hour} {
		o, ticket := twoComponents()
		inWorld(t, o, func(w *world) {
			w.sim.AddComponent(wechattest.Component{AppID: otherComponentID, Secret: appSecret})
			ticket(w)
			pass(time.Second)
			const appID = "wxa0000000000000ff"
			w.authorize(appID)
			pass(time.Minute)
			w.authorizeOther(appID)
			pass(late)
			w.mustCall(authorizerKey(appID))
			w.ticket()
			pass(5 * time.Second)
			if a := must(w.broker.Account(t.Context(), appID)); a.Component != otherComponentID {
				t.Errorf("%s later the account went back to the component that it had authorised before", late)
			}
			w.mustCall(authorizerKey(appID))
		})
	}
}
