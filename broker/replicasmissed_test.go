package broker_test

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// Two sidecars that could not hear of each other obtained a token each: once they can, it is
// renewed once more, as nobody knows which of the two WeChat takes for the last.
func TestReplicas_RivalsConverge(t *testing.T) {
	inFleet(t, 2, worldOptions{merchants: 1, sim: rotating}, func(f *fleet) {
		f.partitioned = true
		key := authorizerKey(merchant(0))
		f.live([]broker.Key{key}, time.Minute, time.Minute)
		f.views[1].Down(errPartition)
		live := func(minutes int) {
			for i := range minutes {
				if i%10 == 0 {
					f.all[0].ticket() // the other could not keep it
				}
				f.all[0].mustCall(key)
				f.all[1].mustCall(key)
				pass(time.Minute)
			}
		}
		live(118) // both have renewed it by then
		before := f.calls(authorizerPath)
		f.views[1].Down(nil)
		pass(2 * time.Minute)
		if n := f.calls(authorizerPath) - before; n < 1 || n > 2 { // a refresh token that is no more may be tried first
			t.Errorf("%d calls to renew within two minutes of the end of a partition, want 1 or 2", n)
		}
		f.agree(key)
	})
}
