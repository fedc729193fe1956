//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
)

// scaleNumber is a number of the environment, or what stands for it.
func scaleNumber(t *testing.T, name string, otherwise, least int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		t.Fatalf("%s is %q, not a number from %d on", name, text, least)
	}
	return n
}

// TestScale_Replicas measures what docs/scale.md says: as many merchants as WXSIDECAR_SCALE says on
// as many replicas as WXSIDECAR_SCALE_REPLICAS says, and one Redis. It wants what a merchant and a
// renewal cost to stay within the bounds that the page counts with.
func TestScale_Replicas(t *testing.T) {
	n, replicas := scaleNumber(t, "WXSIDECAR_SCALE", 1000, 1000), scaleNumber(t, "WXSIDECAR_SCALE_REPLICAS", 3, 2)
	life := 10 * time.Second
	large := n > 5000
	if large { // the first tokens alone take longer
		life = 10 * time.Minute
	}
	redis := redistest.Start(t, redistest.Options{AOF: true})
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 1, Merchants: n, Life: life, Overlap: life / 4, Store: redis.URL(), KeepRequests: 1,
		Env: []string{"WXSIDECAR_RENEWAL_RATE=5000", "WXSIDECAR_RENEWAL_WORKERS=64"},
	})
	s := scaleTrial{replicaWorld: w, redis: redis}
	empty := s.memory()
	s.report("%d authorizers, tokens of %s, the first replica: all have a token after %s", n, life, s.firstTokens())
	s.report("Redis: %d bytes for an authorizer, %d keys", (s.memory()-empty)/n, redis.MustDo("DBSIZE"))
	for range replicas - 1 {
		s.startAnother()
	}
	s.sample(50)
	s.operators() // one of them is in trouble from now on, and called no more
	if large {    // the tokens of a small one are renewed all the time
		s.idle(24 * time.Second)
	}
	s.steady(n/2, replicas)
	for _, r := range w.replicas {
		s.report("replica %d: %d MiB resident", r.n+1, s.resident(r))
	}
	if each := (s.memory() - empty) / n; each > 4096 {
		t.Errorf("Redis needs %d bytes for an authorizer", each)
	}
}

var authorizerKeys = regexp.MustCompile(`(?m)^wxsidecar_keys\{kind="authorizer",.*\} (\d+)$`)

// scaleTrial is a world that is measured.
type scaleTrial struct {
	*replicaWorld
	redis *redistest.Server
}

func (s scaleTrial) report(format string, values ...any) {
	s.t.Helper()
	s.t.Logf(format, values...)
}

// authorizers returns how many a replica has in memory, whatever their state.
func (s scaleTrial) authorizers(r *replicaNode) int {
	s.t.Helper()
	resp, err := r.running().client.Get("http://" + r.running().metrics + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	sum := 0
	for _, m := range authorizerKeys.FindAllSubmatch(text, -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			s.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// memory returns the bytes that Redis uses.
func (s scaleTrial) memory() int {
	s.t.Helper()
	n, err := strconv.Atoi(s.redis.Info("used_memory"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// processorTime returns the seconds that Redis has computed.
func (s scaleTrial) processorTime() float64 {
	s.t.Helper()
	var sum float64
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(s.redis.Info(name), 64)
		if err != nil {
			s.t.Fatal(err)
		}
		sum += seconds
	}
	return sum
}

// resident returns how many MiB of memory a replica has.
func (s scaleTrial) resident(r *replicaNode) int64 {
	s.t.Helper()
	return memoryOf(s.t, r.process.Load().cmd.Process.Pid, "VmRSS") >> 20
}

// startAnother starts a replica more, and waits until it has read the store.
func (s scaleTrial) startAnother() {
	s.t.Helper()
	before, computed, begun := commandsByName(s.redis), s.processorTime(), time.Now()
	r := s.add()
	ready := time.Since(begun)
	s.awaitServed(r.running(), s.merchants[0])
	served := time.Since(begun)
	awaitFor(s.t, s.options.Life+patience, "it reads the store", func() bool { return s.authorizers(r) == len(s.merchants) })
	read := time.Since(begun)
	_, names := s.asked(before, 1)
	s.report("replica %d: ready after %s, serves after %s, has read the store after %s (%.1f s of Redis' processor), %d MiB resident; commands: %s",
		r.n+1, ready.Round(time.Millisecond), served.Round(time.Millisecond), read.Round(time.Millisecond), s.processorTime()-computed, s.resident(r), names)
}

// firstTokens calls once for each merchant, and returns how long that took.
func (s scaleTrial) firstTokens() time.Duration {
	s.t.Helper()
	s.awaitServed(s.replicas[0].running(), s.merchants[len(s.merchants)-1]) // WeChat's list was read
	begun := time.Now()
	var callers sync.WaitGroup
	var next, failed atomic.Int64
	for range 64 {
		callers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(s.merchants)); i = next.Add(1) - 1 {
				if s.replicas[0].running().call(s.merchants[i]) != "" {
					failed.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if n := failed.Load(); n > 0 {
		s.t.Errorf("the first calls of %d merchants failed", n)
	}
	return time.Since(begun).Round(100 * time.Millisecond)
}

// sample calls for some merchants through each replica.
func (s scaleTrial) sample(calls int) {
	s.t.Helper()
	for range calls {
		for _, r := range s.replicas {
			appID := s.merchants[rand.IntN(len(s.merchants))]
			if fault := r.running().call(appID); fault != "" {
				s.t.Errorf("replica %d, %s: %s", r.n, appID, fault)
			}
		}
	}
}

// asked returns how many commands Redis got since before was read, and of which names how many for
// each of n.
func (s scaleTrial) asked(before map[string]int, n int) (sum int, names string) {
	var list []string
	for name, calls := range commandsByName(s.redis) {
		if d := calls - before[name]; d > 0 {
			sum += d
			list = append(list, fmt.Sprintf("%s %.2f", name, float64(d)/float64(max(n, 1))))
		}
	}
	slices.Sort(list)
	return sum, strings.Join(list, ", ")
}

// awaitRenewed waits until so many tokens more are renewed, and returns how many were.
func (s scaleTrial) awaitRenewed(n int) int {
	s.t.Helper()
	before := s.sim.Calls(authorizerTokenPath)
	renewed := func() int { return s.sim.Calls(authorizerTokenPath) - before }
	awaitFor(s.t, 2*s.options.Life, fmt.Sprintf("%d renewals", n), func() bool { return renewed() >= n })
	return renewed()
}

// steady waits until tokens are renewed, looks on for n renewals, and reports what they cost.
func (s scaleTrial) steady(n, replicas int) {
	s.t.Helper()
	s.awaitRenewed(len(s.merchants)/100 + 1)
	begun, computed, before := time.Now(), s.processorTime(), commandsByName(s.redis)
	renewed := s.awaitRenewed(n)
	took := time.Since(begun)
	computed = s.processorTime() - computed
	asked, names := s.asked(before, renewed)
	s.report("%s: %.0f renewals and %.0f commands of Redis a second", took.Round(time.Millisecond), float64(renewed)/took.Seconds(), float64(asked)/took.Seconds())
	s.report("a renewal: %.0f µs of Redis' processor; commands: %s", 1e6*computed/float64(renewed), names)
	if asked > 15*(1+replicas)*renewed {
		s.t.Errorf("%d commands of Redis for %d renewals", asked, renewed)
	}
}

// idle reports what the replicas ask Redis while nothing is renewed.
func (s scaleTrial) idle(run time.Duration) {
	s.t.Helper()
	before := commandsByName(s.redis)
	pass(time.Now().Add(run))
	_, names := s.asked(before, int(run.Seconds())*len(s.replicas))
	s.report("nothing renewed for %s: commands a second of each replica: %s", run, names)
}
