package broker_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// nightly says whether the long forms of the simulations are to be run.
func nightly() bool { return os.Getenv("WXSIDECAR_NIGHTLY") == "1" }

// crowd is many authorizers whose tokens an earlier run left in the store.
type crowd struct {
	n int
	// age returns how old the token of authorizer i is at the start.
	age func(i int) time.Duration
	// idle is how long nobody has called them.
	idle time.Duration
}

// inCrowd is inWorld with a crowd in the store before the broker starts, and a
// ticket. heap is what was allocated before the start.
func inCrowd(t *testing.T, c crowd, f func(w *world, heap uint64)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, worldOptions{sim: wechattest.Options{KeepRequests: 1}})
		c.settle(w)
		before := heap()
		w.start()
		defer w.check()
		defer func() { w.halt() }()
		w.ticket()
		f(w, before)
	})
}

func (c crowd) settle(w *world) {
	w.t.Helper()
	now, ring := time.Now(), keyring(w.t)
	writes := make([]store.Write, c.n)
	for i := range writes {
		appID := merchant(i)
		w.sim.AddAuthorizer(componentID, appID)
		obtained := now.Add(-c.age(i))
		writes[i] = broker.Seed{
			Key:   authorizerKey(appID),
			Token: "an-earlier-token-of-" + appID, Refresh: w.sim.RefreshToken(componentID, appID), Generation: 3,
			Obtained: obtained, Dies: obtained.Add(2 * time.Hour), Authorized: now.Add(-24 * time.Hour), Used: now.Add(-c.idle),
		}.Write(ring)
	}
	if err := w.store.Put(context.Background(), writes...); err != nil {
		w.t.Fatal(err)
	}
}

// keys returns the keys of the crowd.
func (c crowd) keys() []broker.Key {
	keys := make([]broker.Key, c.n)
	for i := range keys {
		keys[i] = authorizerKey(merchant(i))
	}
	return keys
}

// renewalsEach returns how many renewals of authorizers came in each step of d.
func (w *world) renewalsEach(step, d time.Duration, meanwhile func()) []int {
	var counts []int
	before := w.sim.Calls(authorizerPath)
	for end := time.Now().Add(d); time.Now().Before(end); {
		meanwhile()
		pass(step)
		synctest.Wait()
		now := w.sim.Calls(authorizerPath)
		counts, before = append(counts, now-before), now
	}
	return counts
}

func TestScale_AHundredThousandOverdueAreRenewedUnderTheRateLimit(t *testing.T) {
	c := crowd{n: 100_000, age: func(i int) time.Duration {
		return time.Duration(i%119) * time.Minute // a quarter of them is overdue
	}}
	inCrowd(t, c, func(w *world, before uint64) {
		first := w.series()
		synctest.Wait() // the list is read by then, whose garbage would count as well
		if n := w.broker.InUse(); n != c.n+1 {
			t.Errorf("%d keys are in use after the start, want all %d", n, c.n+1)
		}
		if n := w.metric("wxsidecar_keys", "kind", "authorizer"); n != float64(c.n) {
			t.Errorf("%g authorizers are counted, want all %d", n, c.n)
		}
		if n := w.series(); n != first || n > 600 {
			t.Errorf("%d series with %d authorizers, and %d before; want as many, at most 600", n, c.n, first)
		}
		if grown := int64(heap()-before) / int64(c.n); grown > 900 {
			t.Errorf("an authorizer takes %d bytes of the heap", grown)
		}
		d := 2 * time.Minute
		if nightly() {
			d = 6 * time.Hour
		}
		most, sum := 0, 0
		counts := w.renewalsEach(time.Second, d, func() {})
		for _, n := range counts {
			most, sum = max(most, n), sum+n
		}
		const rate = 20
		if most > rate+1 {
			t.Errorf("%d renewals in one second, the limit is %d", most, rate)
		}
		if least := len(counts) * rate * 9 / 10; sum < least {
			t.Errorf("%d renewals in %s, want at least %d", sum, d, least)
		}
	})
}

// However long WeChat takes for one renewal, the limit is what is reached.
func TestScale_TheRateIsReachedWhileWeChatTakesItsTime(t *testing.T) {
	for _, latency := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond, 49 * time.Millisecond, 130 * time.Millisecond} {
		c := crowd{n: 1000, age: func(int) time.Duration { return 118 * time.Minute }}
		inCrowd(t, c, func(w *world, _ uint64) {
			w.sim.Fault(authorizerPath, wechattest.Fault{Latency: latency})
			sum, d := 0, 30*time.Second
			for _, n := range w.renewalsEach(time.Second, d, func() {}) {
				sum += n
			}
			const rate = 20
			if least := int(d/time.Second) * rate * 9 / 10; sum < least {
				t.Errorf("with a latency of %s %d renewals in %s, want at least %d", latency, sum, d, least)
			}
		})
	}
}

func TestScale_ACallDoesNotWaitForThoseAhead(t *testing.T) {
	c := crowd{n: 10_000, age: func(i int) time.Duration { return time.Duration(i%120) * time.Minute }}
	inCrowd(t, c, func(w *world, _ uint64) {
		for i := range 80 {
			key := authorizerKey(merchant(120*i + 119)) // of the oldest, and WeChat does not take its token
			start := time.Now()
			w.mustCall(key)
			if took := time.Since(start); took > time.Second {
				t.Fatalf("a call with %d renewals ahead of it took %s", c.n/4, took)
			}
		}
	})
}

// stuckList is a store whose List does not return before it is let go.
type stuckList struct {
	store.Store
	release chan struct{}
}

func (s stuckList) List(ctx context.Context, prefix, after string, limit int) ([]store.Named, error) {
	select {
	case <-s.release:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Store.List(ctx, prefix, after, limit)
}

func TestScale_TheFirstCallDoesNotWaitForTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := stuckList{memstore.New(memstore.Options{}), make(chan struct{})}
		w := newWorld(t, worldOptions{store: store})
		c := crowd{n: 1000, age: func(int) time.Duration { return time.Minute }}
		c.settle(w)
		if err := store.Put(t.Context(), broker.Canary(keyring(t))); err != nil {
			t.Fatal(err)
		}
		w.start()
		defer func() { w.halt() }()
		for _, key := range c.keys()[:10] {
			start := time.Now()
			if _, err := w.broker.Token(context.Background(), key); err != nil || time.Since(start) > 0 {
				t.Errorf("%s: error %v after %s", key, err, time.Since(start))
			}
		}
		if n := w.broker.InUse(); n != 11 {
			t.Errorf("%d keys in use, want the component and the ten that were called", n)
		}
		close(store.release)
		synctest.Wait()
		if n := w.broker.InUse(); n != c.n+1 {
			t.Errorf("%d keys in use after the load, want %d", n, c.n+1)
		}
	})
}

// TestU11 is the planning of a day's quota. What is to be bounded is a share of
// the mean, so the steps are as long as make 20 renewals the mean of one.
func TestU11_QuotaPlanning(t *testing.T) {
	n := 500
	if nightly() {
		n = 10_000
	}
	const cycle = 84 * time.Minute // from one renewal to the next, in the mean
	c := crowd{n: n, age: func(i int) time.Duration { return cycle * time.Duration(i) / time.Duration(n) }}
	inCrowd(t, c, func(w *world, _ uint64) {
		defer w.tickets()()
		keys, step := c.keys(), 20*cycle/time.Duration(n)
		called := time.Time{}
		counts := w.renewalsEach(step, 24*time.Hour, func() {
			if time.Since(called) < time.Hour {
				return
			}
			called = time.Now()
			for _, key := range keys {
				if _, err := w.broker.Token(context.Background(), key); err != nil {
					t.Fatal(err)
				}
			}
		})
		most, sum := 0, 0
		for _, n := range counts {
			most, sum = max(most, n), sum+n
		}
		if mean := float64(sum) / float64(len(counts)); float64(most) > 3*mean {
			t.Errorf("%d renewals within %s, the mean is %.1f", most, step, mean)
		}
		for _, key := range keys {
			if n := w.sim.CallsFor(authorizerPath, key.AppID); n < 14 || n > 26 {
				t.Errorf("%s was renewed %d times in a day", key, n)
			}
		}
	})
}

// TestIdle_ACallBringsItBackForGood loads authorizers that nobody has called for
// long and whose tokens are overdue: one call must keep each in use.
func TestIdle_ACallBringsItBackForGood(t *testing.T) {
	c := crowd{n: 500, age: func(int) time.Duration { return 100 * time.Minute }, idle: 5 * time.Hour}
	inCrowd(t, c, func(w *world, _ uint64) {
		var all sync.WaitGroup
		for _, key := range c.keys() {
			all.Go(func() {
				if _, err := w.broker.Token(context.Background(), key); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if n := w.broker.InUse(); n != c.n+1 {
			t.Errorf("%d keys in use after %d were called, want them and the component", n, c.n)
		}
	})
}

// TestU11_WhereWeChatGivesTheSameTokenAgain has WeChat give each token until its
// last five minutes, as some report: asking for it must stay as rare.
func TestU11_WhereWeChatGivesTheSameTokenAgain(t *testing.T) {
	o := worldOptions{merchants: 20, sim: wechattest.Options{StickyTokens: true}}
	lit(t, o, func(w *world) {
		defer w.tickets()()
		keys := crowd{n: 20}.keys()
		before := w.sim.Calls(authorizerPath)
		if failed := w.keepCalling(keys, 24*time.Hour, 10*time.Minute); failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		if n := (w.sim.Calls(authorizerPath) - before) / len(keys); n > 26 {
			t.Errorf("%d token calls for each in a day", n)
		}
	})
}

// TestUrgent_SlowOnesHoldUpNobody has WeChat take long to answer for many accounts
// that are called, but not for another.
func TestUrgent_SlowOnesHoldUpNobody(t *testing.T) {
	const slow = 40
	inWorld(t, worldOptions{merchants: slow + 1}, func(w *world) {
		for i := range slow {
			w.sim.Fault(authorizerPath, wechattest.Fault{AppID: merchant(i), Latency: 8 * time.Second})
		}
		w.ticket()
		pass(time.Second)
		var calls sync.WaitGroup
		for i := range slow {
			calls.Go(func() { _, _ = w.broker.Token(context.Background(), authorizerKey(merchant(i))) })
		}
		synctest.Wait()
		began := time.Now()
		w.mustCall(authorizerKey(merchant(slow)))
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("a call waited for %s behind those of others", waited)
		}
		calls.Wait()
	})
}
