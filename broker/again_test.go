package broker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
)

// TestAgain_TheListOnAFullDisk comes to be read, and the date of that cannot be kept.
func TestAgain_TheListOnAFullDisk(t *testing.T) {
	var full atomic.Bool
	store := memstore.New(memstore.Options{FailPut: func([]broker.Write) error {
		if full.Load() {
			return errDisk
		}
		return nil
	}})
	lit(t, worldOptions{store: store}, func(w *world) {
		stop := w.tickets()
		time.Sleep(5 * time.Hour)
		stop()
		full.Store(true)
		before := w.sim.Calls(listPath)
		time.Sleep(2 * time.Hour)
		full.Store(false)
		if n := w.sim.Calls(listPath) - before; n != 1 {
			t.Errorf("the list was read %d times in two hours, want once", n)
		}
	})
}
