package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// TestBudget_RejectionsStarveNoScheduledRenewal has the day's budget of forced renewals be
// used up, and a call that WeChat refuses whatever its token late in the token's life. The
// stable token stays the same until its last minutes, and there a new one is fetched.
func TestBudget_RejectionsStarveNoScheduledRenewal(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		defer w.tickets()()
		w.broker.SpendDayOf(ownKey)
		pass(80 * time.Minute)
		generation := must(w.broker.Token(context.Background(), ownKey)).Generation
		for _, path := range []string{"/the/one/of/the/hour", "/one/more"} {
			w.broker.Report(ownKey, generation, broker.Refusal{Errcode: 40001, Path: path})
			pass(10 * time.Second)
		}
		before := w.sim.Calls(stablePath)
		if failed := w.keepCalling([]broker.Key{ownKey}, 100*time.Minute, time.Minute); failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		if n := w.sim.Calls(stablePath) - before; n > 4 {
			t.Errorf("%d token calls beyond the budget in 100 minutes", n)
		}
	})
}
