package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
)

// faultPause is between the calls of one app: trials whose time is spent waiting run side by side.
const faultPause = 25 * time.Millisecond

// newFaultWorld is three replicas whose tokens live long enough for a store that is away for half
// of it.
func newFaultWorld(t *testing.T, store string) *replicaWorld {
	t.Helper()
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 3, Merchants: 10, Life: 24 * time.Second, Overlap: 6 * time.Second, Store: store,
	})
	w.awaitAll()
	return w
}

// awaitRenewals waits until each key was renewed once more, and each replica serves it then.
func (w *replicaWorld) awaitRenewals() {
	w.t.Helper()
	w.awaitEachRenewed(time.Now())
	w.awaitAll()
}

// awaitEachRenewed waits until each key was renewed after since.
func (w *replicaWorld) awaitEachRenewed(since time.Time) {
	w.t.Helper()
	read := -1
	awaitFor(w.t, w.options.Life+patience, "each key is renewed", func() bool {
		calls := w.tokenCalls()
		if calls == read { // WeChat's records are long
			return false
		}
		read = calls
		renewed := map[string]bool{}
		for _, req := range w.sim.Requests() {
			if key := renewedKey(&req); key != "" && req.At.After(since) {
				renewed[key] = true
			}
		}
		return len(renewed) == len(w.merchants)+1
	})
}

// TestReplicas_RedisAway takes Redis away for half a token's life, in which each token is to be renewed,
// as one that hangs and as one that was killed. No app sees it, and all goes on without a restart when it is back.
func TestReplicas_RedisAway(t *testing.T) {
	t.Parallel()
	f := func(name string, away, back func(*redistest.Server)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, redistest.Options{AOF: true})
			w := newFaultWorld(t, redis.URL())
			load := w.startLoad(8, faultPause, w.accounts())
			w.awaitAge(0.45)
			since := time.Now()
			away(redis)
			w.lifePasses(since, 0.5)
			back(redis)
			w.awaitRenewals()
			calls := load.end()
			r := w.renewals(since)
			t.Logf("%d calls, %d renewals, %d of them too many; a new token was everywhere after %s", calls, r.total, r.surplus, r.spread)
			if keys := len(w.accounts()); r.surplus > keys {
				t.Errorf("%d renewals too many of %d keys", r.surplus, keys)
			}
			if err := w.sim.PushTicket(t.Context(), replicaComponent); err != nil {
				t.Errorf("the ticket after the outage: %v", err)
			}
		})
	}
	f("hangs", (*redistest.Server).Stop, (*redistest.Server).Cont)
	f("killed", (*redistest.Server).Kill, (*redistest.Server).Restart)
}

// TestReplicas_RedisEmptied empties Redis under load, by a command and by a restart without its
// data. The replicas write what they have in memory back, and one that starts then finds it.
func TestReplicas_RedisEmptied(t *testing.T) {
	t.Parallel()
	f := func(name string, empty func(*redistest.Server)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, redistest.Options{})
			w := newFaultWorld(t, redis.URL())
			load := w.startLoad(8, faultPause, w.accounts())
			w.awaitAge(0.65)
			empty(redis)
			w.awaitAll()
			before := w.sim.Calls(authorizerTokenPath)
			awaitFor(t, patience, "the records are back", func() bool {
				n, _ := redis.MustDo("DBSIZE").(int64)
				return int(n) > len(w.merchants)
			})
			last := w.replicas[2]
			if err := last.running().stop(); err != nil {
				t.Error(err)
			}
			last.start()
			w.awaitAll()
			t.Logf("%d renewals until a replica that started anew served all", w.sim.Calls(authorizerTokenPath)-before)
			w.awaitRenewals()
			load.end()
		})
	}
	f("flushed", (*redistest.Server).Flush)
	f("restarted", func(s *redistest.Server) { s.Kill(); s.Restart() })
}

// TestReplicas_Partition cuts one of three replicas off from Redis for a whole life of its tokens. The
// others go on renewing, so its tokens are replaced; still no call fails at it, and it follows again.
func TestReplicas_Partition(t *testing.T) {
	t.Parallel()
	f := func(name string, away func(*redistest.Link, bool)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, redistest.Options{})
			link := redistest.NewLink(t, redis.Addr())
			w := newFaultWorld(t, redis.URL())
			alone := w.replicas[0]
			alone.running().kill()
			alone.start("WXSIDECAR_STORE=" + redis.URLVia(link.Addr()))
			w.awaitAll()
			load := w.startLoad(8, faultPause, w.accounts())
			since := time.Now()
			away(link, true)
			w.awaitEachRenewed(since)
			w.lifePasses(since, 1)
			away(link, false)
			w.awaitRenewals()
			calls := load.end()
			r := w.renewals(since)
			t.Logf("%d calls, %d renewals, %d of them too many", calls, r.total, r.surplus)
			if keys := len(w.accounts()); r.surplus > keys { // the one that is cut off renews each key once at most
				t.Errorf("%d renewals too many of %d keys", r.surplus, keys)
			}
		})
	}
	f("hangs", (*redistest.Link).Hang)
	if nightly() {
		f("refuses", (*redistest.Link).Refuse)
	}
}

// TestReplicas_Failover kills the primary under load, again and again. No call fails that a living
// token would have served.
func TestReplicas_Failover(t *testing.T) {
	t.Parallel()
	redis := redistest.StartSentinel(t, redistest.Options{})
	w := newFaultWorld(t, redis.URL())
	failovers := 2
	if nightly() {
		failovers = 50
	}
	load := w.startLoad(8, faultPause, w.accounts())
	w.awaitAge(0.65)
	since := time.Now()
	for range failovers {
		redis.KillPrimary().Restart()
		redis.Await()
	}
	w.awaitRenewals()
	calls := load.end()
	r := w.renewals(since)
	t.Logf("%d failovers, %d calls, %d renewals, %d of them too many", failovers, calls, r.total, r.surplus)
	if keys := len(w.accounts()); r.surplus > keys { // several renewals may be under way at a failover
		t.Errorf("%d renewals too many of %d keys for %d failovers", r.surplus, keys, failovers)
	}
}

// TestReplicas_HitAsksNobody has a token in memory serve ten thousand calls: Redis gets no command for them.
func TestReplicas_HitAsksNobody(t *testing.T) {
	redis := redistest.Start(t, redistest.Options{})
	w := newReplicaWorld(t, replicaOptions{Replicas: 2, Merchants: 5, Life: 2 * time.Hour, Store: redis.URL()})
	w.awaitAll()
	const calls = 10_000
	before := commands(redis)
	for i := range calls {
		if fault := w.replicas[i%2].running().call(w.merchants[i%5]); fault != "" {
			t.Fatal(fault)
		}
	}
	n := commands(redis) - before
	t.Logf("%d calls, %d commands of Redis", calls, n)
	if n > calls/100 { // what the replicas ask each other about
		t.Errorf("Redis got %d commands during %d calls with tokens in memory", n, calls)
	}
}

// TestReplicas_SlowRedis puts a second between the replicas and Redis: calls do not wait for it.
func TestReplicas_SlowRedis(t *testing.T) {
	redis := redistest.Start(t, redistest.Options{})
	link := redistest.NewLink(t, redis.Addr())
	w := newFaultWorld(t, redis.URLVia(link.Addr()))
	calls := 2000
	if nightly() {
		calls = 10_000
	}
	median := func() time.Duration {
		load := w.startLoad(4, 5*time.Millisecond, w.accounts())
		load.awaitCalls(calls)
		load.end()
		slices.Sort(load.took)
		t.Logf("%d calls: median %s, 99 %% within %s", len(load.took), load.took[len(load.took)/2], load.took[len(load.took)*99/100])
		return load.took[len(load.took)/2]
	}
	usual := median()
	link.Delay(time.Second)
	if slow := median(); slow > 3*usual+20*time.Millisecond {
		t.Errorf("a call takes %s, and %s with a slow Redis", usual, slow)
	}
	link.Delay(0)
}

// commandsByName returns how many commands Redis has carried out of each name, but for those that
// ask for it. What a script calls counts too.
func commandsByName(redis *redistest.Server) map[string]int {
	text, _ := redis.MustDo("INFO", "commandstats").(string)
	counts := map[string]int{}
	for line := range strings.Lines(text) {
		name, values, _ := strings.Cut(strings.TrimSpace(line), ":")
		var calls int
		if _, err := fmt.Sscanf(values, "calls=%d,", &calls); err == nil && name != "cmdstat_info" {
			counts[strings.TrimPrefix(name, "cmdstat_")] = calls
		}
	}
	return counts
}

// commands returns the sum of commandsByName.
func commands(redis *redistest.Server) int {
	sum := 0
	for _, calls := range commandsByName(redis) {
		sum += calls
	}
	return sum
}
