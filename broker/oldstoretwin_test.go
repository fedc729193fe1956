package broker_test

import (
	"context"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// twinStore has another replica make the first write of several records just before us.
type twinStore struct {
	store.Store
	done bool
}

func (s *twinStore) Put(ctx context.Context, writes ...store.Write) error {
	if !s.done && len(writes) > 1 {
		s.done = true
		if err := s.Store.Put(ctx, writes...); err != nil {
			return err
		}
	}
	return s.Store.Put(ctx, writes...)
}

// TestOldStore_TwoReplicasStartAtOnce has another replica be faster with the renaming.
func TestOldStore_TwoReplicasStartAtOnce(t *testing.T) {
	file := copyOldStore(t)
	inOldStore(t, func(w *oldWorld) {
		st := w.open(file)
		if err := w.start(&twinStore{Store: st}); err != nil {
			t.Errorf("start: %v", err)
			w.mustStart(st)
		}
		w.checkNames(st)
		w.checkServed()
	})
}
