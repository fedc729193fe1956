//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
)

// scaleAuthorizers is how many merchants there are, how long their tokens live and how long the
// renewals are looked at: few for each run, or as many as WXSIDECAR_SCALE says.
func scaleAuthorizers(t *testing.T) (n int, life, run time.Duration) {
	t.Helper()
	text := os.Getenv("WXSIDECAR_SCALE")
	if text == "" {
		return 1000, 12 * time.Second, 10 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		t.Fatalf("WXSIDECAR_SCALE is %q, not a number of merchants from 1000 on", text)
	}
	return n, 10 * time.Minute, 2 * time.Minute
}

// TestScale_Replicas measures what docs/scale.md says: many merchants, three replicas, one Redis. It
// wants what a merchant and a renewal cost to stay within the bounds that the page counts with.
func TestScale_Replicas(t *testing.T) {
	n, life, run := scaleAuthorizers(t)
	redis := redistest.Start(t, redistest.Options{AOF: true})
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 1, Merchants: n, Life: life, Overlap: life / 4, Store: redis.URL(), KeepRequests: 1,
		Env: []string{"WXSIDECAR_RENEWAL_RATE=5000", "WXSIDECAR_RENEWAL_WORKERS=64"},
	})
	s := scaleTrial{replicaWorld: w, redis: redis}
	empty := s.memory()
	s.report("%d authorizers, tokens of %s, the first replica: all have a token after %s", n, life, s.firstTokens())
	s.report("Redis: %d bytes for an authorizer, %d keys", (s.memory()-empty)/n, redis.MustDo("DBSIZE"))
	for i := range 2 {
		started := time.Now()
		r := w.add()
		ready := time.Since(started)
		s.sample(1)
		s.report("replica %d: ready %s after its start, %d MiB resident", i+2, ready.Round(time.Millisecond), memoryOf(t, r.process.Load().cmd.Process.Pid, "VmRSS")>>20)
	}
	s.sample(300)
	s.idle(run / 10)
	s.steady(run)
	for _, r := range w.replicas {
		s.report("replica %d: %d MiB resident", r.n+1, memoryOf(t, r.process.Load().cmd.Process.Pid, "VmRSS")>>20)
	}
	if each := (s.memory() - empty) / n; each > 4096 {
		t.Errorf("Redis needs %d bytes for an authorizer", each)
	}
}

// scaleTrial is a world that is measured.
type scaleTrial struct {
	*replicaWorld
	redis *redistest.Server
}

func (s scaleTrial) report(format string, values ...any) {
	s.t.Helper()
	s.t.Logf(format, values...)
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

// steady waits until tokens are renewed, looks on for a while, and reports what that costs.
func (s scaleTrial) steady(run time.Duration) {
	s.t.Helper()
	const path = "/cgi-bin/component/api_authorizer_token"
	begun := s.sim.Calls(path)
	awaitFor(s.t, 2*s.options.Life, "the renewals begin", func() bool { return s.sim.Calls(path) > begun+len(s.merchants)/100 })
	renewed, computed, names := s.sim.Calls(path), s.processorTime(), commandsByName(s.redis)
	time.Sleep(run) // what is measured is a stretch of time
	renewed, computed = s.sim.Calls(path)-renewed, s.processorTime()-computed
	asked, list := 0, []string{}
	for name, calls := range commandsByName(s.redis) {
		if n := calls - names[name]; n > 0 {
			asked += n
			list = append(list, fmt.Sprintf("%s %.2f", name, float64(n)/float64(max(renewed, 1))))
		}
	}
	slices.Sort(list)
	s.report("%s: %.0f renewals and %.0f commands of Redis a second", run, float64(renewed)/run.Seconds(), float64(asked)/run.Seconds())
	s.report("a renewal: %.0f µs of Redis' processor; commands: %s", 1e6*computed/float64(max(renewed, 1)), strings.Join(list, ", "))
	if renewed == 0 || asked > 40*renewed {
		s.t.Errorf("%d commands of Redis for %d renewals", asked, renewed)
	}
}

// idle reports what the replicas ask Redis while nothing is renewed.
func (s scaleTrial) idle(run time.Duration) {
	s.t.Helper()
	before := commands(s.redis)
	time.Sleep(run) // what is measured is a stretch of time
	s.report("idle: %.1f commands a second for each replica", float64(commands(s.redis)-before)/run.Seconds()/float64(len(s.replicas)))
}
