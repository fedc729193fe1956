package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestBlocked_RejectedTokenIsHeldBackWhenTheTicketComes has a merchant's token be rejected while the
// component waits for a ticket. From the ticket on the successor is on its way, and no
// call gets the rejected one.
func TestBlocked_RejectedTokenIsHeldBackWhenTheTicketComes(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.ExpireTickets(componentID)
		w.sim.Displace(componentID)
		for range 5 { // until the pauses between two tries are long
			w.mustFail(platformKey, broker.StateWaitingTicket)
			pass(110 * time.Second)
		}
		for tries := w.sim.Calls(componentPath); w.sim.Calls(componentPath) == tries; { // the next is a minute away then
			w.mustFail(platformKey, broker.StateWaitingTicket)
		}
		w.sim.Displace(merchant(0))
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.mustCall(key)
		}()
		pass(time.Second)
		w.sim.Fault(componentPath, wechattest.Fault{Latency: 2 * time.Second})
		w.ticket()
		pass(100 * time.Millisecond)
		tok := must(w.broker.Token(context.Background(), key))
		if code := w.use(key, tok); code != 0 {
			t.Errorf("a call got errcode %d while the fresh token was two seconds away", code)
		}
		<-done
	})
}
