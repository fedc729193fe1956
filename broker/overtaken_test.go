package broker_test

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestOvertaken_ByAnAuthorization has a merchant authorise again while a renewal is under way that comes to nothing: what it came to is of the past.
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
