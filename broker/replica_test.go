package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// another starts a second broker on the same store and WeChat, and returns its
// world; halt ends it.
func (w *world) another() *world {
	w.t.Helper()
	other := &world{t: w.t, sim: w.sim, base: w.base, store: w.base.Shared("another"), logs: w.logs, opts: w.opts}
	other.start()
	return other
}

// TestShared_WhoComesLaterAdopts has two brokers on one store. What one renewed the
// other takes over when its own time comes, and makes no call.
func TestShared_WhoComesLaterAdopts(t *testing.T) {
	lit(t, worldOptions{shared: true, merchants: 5, own: true, sim: wechattest.Options{RotateRefreshTokens: true}}, func(w *world) {
		other := w.another()
		defer other.halt()
		keys := append(crowd{n: 5}.keys(), ownKey, platformKey)
		for _, key := range keys {
			other.mustCall(key)
		}
		before := w.tokenCalls()
		for _, key := range keys {
			w.sim.Displace(key.AppID)
			w.mustCall(key)
		}
		renewals := w.tokenCalls() - before
		for _, key := range keys {
			other.mustCall(key)
			if mine, theirs := must(w.broker.Token(context.Background(), key)), must(other.broker.Token(context.Background(), key)); mine.Generation != theirs.Generation || mine.Value() != theirs.Value() {
				t.Errorf("%s: %v and %v", key, mine, theirs)
			}
		}
		if n := w.tokenCalls() - before; n != renewals {
			t.Errorf("%d token calls, want the %d of the first", n, renewals)
		}
	})
}

// TestShared_WhatIsAdoptedMayBeDead has the other broker's token die before this one
// looks: it is renewed with the refresh token that came with it, not with our own.
func TestShared_WhatIsAdoptedMayBeDead(t *testing.T) {
	lit(t, worldOptions{shared: true, merchants: 1, sim: wechattest.Options{RotateRefreshTokens: true}}, func(w *world) {
		key := authorizerKey(merchant(0))
		other := w.another()
		other.mustCall(key)
		w.sim.Displace(merchant(0))
		other.mustCall(key)
		other.halt()
		w.sim.Fault(authorizerPath, wechattest.Fault{Mode: wechattest.Refuse})
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Refuse})
		pass(3 * time.Hour)
		w.sim.ClearFaults()
		pass(time.Minute)
		w.mustCall(key)
	})
}

// TestShared_TheOtherWasTold has a merchant authorise a second component, of which only the
// other broker is told. A moment later a call that names no component is not for the first
// here either.
func TestShared_TheOtherWasTold(t *testing.T) {
	inTwoWith(t, func(o *worldOptions) { o.shared = true }, func(w *world, _ func(*world)) {
		w.mustCall(authorizerKey(merchant(0)))
		other := w.another()
		defer other.halt()
		if of, err := w.choose(merchant(0), broker.Choice{}); of != componentID {
			t.Errorf("before: %q, %v", of, err)
		}
		other.authorizeOther(merchant(0))
		pass(time.Second)
		var ambiguous *broker.AmbiguousError
		if of, err := w.choose(merchant(0), broker.Choice{}); !errors.As(err, &ambiguous) {
			t.Errorf("%q, %v", of, err)
		}
		if of, err := w.choose(merchant(0), broker.Choice{Default: otherComponentID}); of != otherComponentID {
			t.Errorf("with a default: %q, %v", of, err)
		}
	})
}
