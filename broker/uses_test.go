package broker_test

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

func TestLastUse_OutlivesRestartsBetweenRenewals(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		defer w.tickets()()
		key := authorizerKey(merchant(0))
		for range 3 { // each run is shorter than a renewal's distance, all together longer than two lives
			if failed := w.keepCalling([]broker.Key{key}, 80*time.Minute, 5*time.Minute); failed != 0 {
				t.Errorf("%d calls failed", failed)
			}
			w.restart()
		}
		before := w.sim.Calls(authorizerPath)
		pass(100 * time.Minute)
		if n := w.sim.Calls(authorizerPath) - before; n == 0 {
			t.Error("a key in use was not renewed ahead after the restarts")
		}
		used := w.sim.Calls(authorizerPath)
		w.mustCall(key)
		if n := w.sim.Calls(authorizerPath) - used; n != 0 {
			t.Error("the call had to wait for a renewal")
		}
	})
}
