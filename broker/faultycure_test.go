package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestFaulty_DisplacedAgainAtOnce has somebody outside fetch the token again before the
// calls that wait for it are sent again: however many they are, this is one finding, and
// the next call is cured.
func TestFaulty_DisplacedAgainAtOnce(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		ctx, key := context.Background(), authorizerKey(merchant(0))
		tok := must(w.broker.Token(ctx, key))
		w.sim.Displace(key.AppID)
		first := w.broker.Now()
		w.broker.Report(key, tok.Generation, broker.Refusal{Errcode: 40001, Path: faultyPath})
		next := must(w.broker.TokenAfter(ctx, key, tok.Generation))
		w.sim.Displace(key.AppID)
		for range 20 {
			w.broker.Report(key, next.Generation, broker.Refusal{Errcode: 40001, Path: faultyPath, First: first})
		}
		w.mustCallPath(key, faultyPath)
	})
}

// TestFaulty_DisplacedAmongSpentCodes has a path that fails now and then whatever the
// token, as a login form does to spent codes, and that is all that an app calls. Its
// token is displaced: that is cured within seconds, since nothing is served any more.
func TestFaulty_DisplacedAmongSpentCodes(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		defer w.tickets()()
		key := authorizerKey(merchant(0))
		before := w.sim.Calls(authorizerPath)
		for range 1800 {
			w.sim.Fault(faultyPath, wechattest.Fault{Errcode: 40001})
			w.mustBeRefused(key, faultyPath)
			w.sim.ClearFaults()
			w.mustCallPath(key, faultyPath)
			pass(time.Second)
		}
		if n := w.sim.Calls(authorizerPath) - before; n > 4 {
			t.Errorf("%d renewals within half an hour, want 4 at most", n)
		}
		w.sim.Displace(key.AppID)
		refused := 0
		for ; refused < 100; refused++ {
			if code, err := w.callPath(key, faultyPath); code == 0 && err == nil {
				break
			}
			pass(time.Second)
		}
		if refused > 10 {
			t.Errorf("%d calls in as many seconds were refused before the displaced token was replaced", refused)
		}
	})
}
