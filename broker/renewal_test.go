package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestRenewal_TheEndWaitsForIt ends the broker while WeChat answers a renewal.
func TestRenewal_TheEndWaitsForIt(t *testing.T) {
	o := worldOptions{merchants: 1, own: true, sim: wechattest.Options{RotateRefreshTokens: true}}
	lit(t, o, func(w *world) {
		w.sim.Fault(authorizerPath, wechattest.Fault{Latency: 5 * time.Second})
		w.sim.Displace(merchant(0))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.call(authorizerKey(merchant(0)))
		}()
		pass(time.Second)
		issued := w.sim.TokensIssued(merchant(0))
		w.restart()
		<-done
		if n := w.sim.TokensIssued(merchant(0)) - issued; n != 1 {
			t.Errorf("%d tokens were issued while the broker ended, want the one that was under way", n)
		}
		w.mustCall(authorizerKey(merchant(0)))
		if n := w.sim.TokensIssued(merchant(0)) - issued; n != 1 {
			t.Errorf("what the last renewal brought was lost")
		}
	})
}

// TestToken_DiesByWhenItWasAskedFor has WeChat take its time: expires_in counts from
// when it wrote the answer, and that is not after we got it.
func TestToken_DiesByWhenItWasAskedFor(t *testing.T) {
	inWorld(t, worldOptions{own: true}, func(w *world) {
		w.halt()
		w.opts.Accounts[0].AppID = "wx00000000000000bb"
		w.sim.AddAccount("wx00000000000000bb", ownSecret)
		w.sim.Fault(stablePath, wechattest.Fault{Latency: 4 * time.Second})
		asked := w.now()
		w.start()
		tok := must(w.broker.Token(context.Background(), broker.Key{Kind: broker.KindAccount, AppID: "wx00000000000000bb"}))
		if late := tok.DiesAt().Sub(asked.Add(2 * time.Hour)); late > 2*time.Second || late < -2*time.Second {
			t.Errorf("the token is thought to live %s too long", late)
		}
	})
}
