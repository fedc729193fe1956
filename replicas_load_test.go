package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// replicaLoad is calls for all merchants through all replicas in turn, as a load balancer gives
// them: one that does not accept connections is passed over.
type replicaLoad struct {
	world   *replicaWorld
	begun   time.Time
	stop    chan struct{}
	running sync.WaitGroup
	turn    atomic.Int64

	mu    sync.Mutex
	took  []time.Duration
	cut   int // calls that a killed replica had
	fails []string
}

// startLoad begins calls by that many apps, each with a pause between its calls, for the accounts.
func (w *replicaWorld) startLoad(apps int, pause time.Duration, accounts []string) *replicaLoad {
	l := &replicaLoad{world: w, begun: time.Now(), stop: make(chan struct{})}
	for range apps {
		l.running.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(pause):
					turn := int(l.turn.Add(1))
					l.call(turn, accounts[turn/len(w.replicas)%len(accounts)])
				}
			}
		})
	}
	return l
}

// call makes one call, at the next replica where one does not run.
func (l *replicaLoad) call(turn int, appID string) {
	for i := range l.world.replicas {
		process := l.world.replicas[(turn+i)%len(l.world.replicas)].running()
		if process == nil {
			continue
		}
		begun := time.Now()
		fault := process.call(appID)
		if fault != "" && strings.Contains(fault, "connection refused") && process.stopped.Load() {
			continue
		}
		l.note(process, appID, fault, time.Since(begun))
		return
	}
	l.note(nil, appID, "no replica runs", 0)
}

func (l *replicaLoad) note(process *replicaProcess, appID, fault string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case fault == "":
		l.took = append(l.took, took)
	case process != nil && killed(process):
		l.cut++
	default:
		l.fails = append(l.fails, fmt.Sprintf("%s for %s after %s: %s", time.Now().Format("15:04:05.000"), appID, took.Round(time.Millisecond), fault))
	}
}

// good returns how many calls have gone well.
func (l *replicaLoad) good() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// awaitCalls waits until so many calls more have gone well.
func (l *replicaLoad) awaitCalls(n int) {
	l.world.t.Helper()
	want := l.good() + n
	awaitFor(l.world.t, 2*patience, fmt.Sprintf("%d calls more go well", n), func() bool { return l.good() >= want })
}

// killed reports whether the process was ended by kill -9, by the test or a checkpoint. The
// caller's connection may break a moment before that is known.
func killed(p *replicaProcess) bool {
	select {
	case <-p.done:
	case <-time.After(time.Second):
		return false
	}
	return p.err != nil && strings.Contains(p.err.Error(), "killed")
}

// end ends the calls, and fails the test if one of them failed, or if none was made in a second or
// more.
func (l *replicaLoad) end() (calls int) {
	l.world.t.Helper()
	close(l.stop)
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.fails); n > 0 {
		l.world.t.Errorf("%d of %d calls failed, the first ones:\n%s", n, n+len(l.took), strings.Join(l.fails[:min(n, 5)], "\n"))
	}
	if len(l.took) == 0 && time.Since(l.begun) > time.Second {
		l.world.t.Error("no call went well: the trial shows nothing")
	}
	return len(l.took)
}
