package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestUnchanged_AskedForOnce has a call be refused whose stable token is good, and WeChat
// give that token once more, but not at the first try: the rejected token was given back
// to callers between. It is also that of an account that came into use between.
func TestUnchanged_AskedForOnce(t *testing.T) {
	for name, between := range map[string]func(w *world, generation uint64){
		"a renewal fails": func(w *world, generation uint64) {
			w.sim.Fault(stablePath, wechattest.Fault{Errcode: -1, Times: 1})
			w.broker.Report(ownKey, generation, broker.Refusal{Errcode: 40001, Path: "/a"})
			pass(100 * time.Millisecond)
		},
		"a reload": func(w *world, _ uint64) {
			for _, accounts := range [][]broker.AccountConfig{nil, w.opts.Accounts} {
				if err := w.broker.SetConfig(w.opts.Components, accounts); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			lit(t, worldOptions{own: true}, func(w *world) {
				pass(time.Minute)
				generation := must(w.broker.Token(context.Background(), ownKey)).Generation
				before := w.sim.Calls(stablePath)
				between(w, generation)
				w.sim.Fault(stablePath, wechattest.Fault{Latency: 50 * time.Millisecond})
				again, err := w.broker.TokenAfter(context.Background(), ownKey, generation)
				if err != nil || again.Generation != generation {
					t.Errorf("%v, %v, want the token that WeChat has given again", again, err)
				}
				if n := w.sim.Calls(stablePath) - before; n > 2 {
					t.Errorf("WeChat was asked %d times for one refused call", n)
				}
			})
		})
	}
}
