package broker_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// levered is a view of which reads can fail or come late. All but the counters is set before it is
// used.
type levered struct {
	*memstore.Shared
	name       string       // of the record whose reads fail
	failing    atomic.Int32 // how many of them are yet to
	failingAll atomic.Int32 // how many readings of several are yet to
	gotten     func(name string)
}

func (l *levered) Get(ctx context.Context, name string) (store.Record, error) {
	if name == l.name && fails(&l.failing) {
		return store.Record{}, errOneRead
	}
	rec, err := l.Shared.Get(ctx, name)
	if l.gotten != nil {
		l.gotten(name)
	}
	return rec, err
}

func (l *levered) GetAll(ctx context.Context, names []string) ([]store.Named, error) {
	if fails(&l.failingAll) {
		return nil, errOneRead
	}
	return l.Shared.GetAll(ctx, names)
}

var errOneRead = errors.New("i/o timeout")

// fails counts one down, and reports whether there was one.
func fails(n *atomic.Int32) bool {
	if n.Load() <= 0 {
		return false
	}
	n.Add(-1)
	return true
}

// lever has replica i start anew on a view with levers.
func (f *fleet) lever(i int, l *levered) *levered {
	f.Helper()
	l.Shared = f.base.Shared("levered")
	f.views[i] = l.Shared
	f.all[i].halt()
	f.all[i].store = l
	f.all[i].start()
	return l
}

// serves reports whether a replica serves a token of key.
func serves(w *world, key broker.Key) bool {
	_, err := w.broker.Token(context.Background(), key)
	return err == nil
}

// One read that fails, while the store answers others, loses no news.
func TestReplicas_OneReadFails(t *testing.T) {
	inFleet(t, 2, worldOptions{merchants: 1, sim: rotating}, func(f *fleet) {
		key := authorizerKey(merchant(0))
		l := f.lever(1, &levered{name: key.String()})
		f.live([]broker.Key{key}, time.Minute, time.Minute)
		l.failing.Store(1)
		f.sim.Revoke(componentID, merchant(0))
		f.all[0].revoke(merchant(0), time.Now())
		pass(30 * time.Second)
		if l.failing.Load() > 0 {
			t.Error("no read failed")
		}
		if serves(f.all[1], key) {
			t.Error("a token is served that the merchant took back half a minute ago")
		}
	})
}

// A comparison that fails, while the store answers, is made again.
func TestReplicas_OneComparisonFails(t *testing.T) {
	inFleet(t, 2, worldOptions{merchants: 1, sim: rotating}, func(f *fleet) {
		key := authorizerKey(merchant(0))
		l := f.lever(1, &levered{name: key.String()})
		f.live([]broker.Key{key}, time.Minute, time.Minute)
		l.failingAll.Store(1)
		l.Down(errPartition)
		synctest.Wait()
		f.sim.Revoke(componentID, merchant(0))
		f.all[0].revoke(merchant(0), time.Now())
		l.Down(nil)
		pass(30 * time.Second)
		if l.failingAll.Load() > 0 {
			t.Error("no comparison failed")
		}
		if serves(f.all[1], key) {
			t.Error("a token is served that the merchant took back half a minute ago")
		}
	})
}

// What another sidecar changes while a key is read to be brought into use is not lost.
func TestReplicas_NewsWhileLoading(t *testing.T) {
	inFleet(t, 2, worldOptions{merchants: 1, sim: rotating}, func(f *fleet) {
		key := authorizerKey(merchant(0))
		f.all[0].mustCall(key)
		var once sync.Once
		l := &levered{Shared: f.base.Shared("late"), gotten: func(name string) {
			if name == key.String() {
				once.Do(func() {
					f.sim.Revoke(componentID, merchant(0))
					f.all[0].revoke(merchant(0), time.Now())
					for range 10_000 { // the news may wait for the key's lock, which no bubble waits for
						runtime.Gosched()
					}
				})
			}
		}}
		late := &world{t: t, sim: f.sim, logs: f.all[0].logs, opts: f.all[0].opts, store: l}
		f.all = append(f.all, late)
		late.start()
		pass(time.Second)
		if serves(late, key) {
			t.Error("a token is served that the merchant took back")
		}
	})
}

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
		if n := f.calls(authorizerPath) - before; n < 1 || n > 4 { // a refresh token that is no more may be tried first, by each
			t.Errorf("%d calls to renew within two minutes of the end of a partition, want one or two and their failed tries", n)
		}
		f.agree(key)
	})
}

// Dates of last uses and pages of the list are compared with the store in one read each: the keys'
// locks are held meanwhile, and a slow store must not hold up everybody's renewals.
func TestReplicas_ReadTogether(t *testing.T) {
	const merchants = 100
	inFleet(t, 2, worldOptions{merchants: merchants, sim: rotating}, func(f *fleet) {
		var gets atomic.Int32
		f.lever(1, &levered{gotten: func(name string) {
			if strings.HasPrefix(name, "authorizer/") {
				gets.Add(1)
			}
		}})
		w, keys := f.all[1], crowd{n: merchants}.keys()
		callAll := func() {
			for _, key := range keys {
				w.mustCall(key)
			}
		}
		callAll()
		pass(61 * time.Minute)
		callAll()
		gets.Store(0)
		pass(2 * time.Minute)
		if n := gets.Load(); n > merchants/10 {
			t.Errorf("%d reads of single records to save %d dates of last uses", n, merchants)
		}
		lists := f.calls(listPath)
		gets.Store(0)
		if _, err := w.broker.Account(context.Background(), merchant(merchants), broker.Choice{}); err == nil { // has the list read
			t.Error("an account is known that there is not")
		}
		pass(5 * time.Second)
		if f.calls(listPath) == lists {
			t.Fatal("the list was not read")
		}
		if n := gets.Load(); n > merchants/10 {
			t.Errorf("%d reads of single records to compare a page of the list", n)
		}
	})
}
