package main

import (
	"context"
	"math"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wxsidecar/wxsidecar/broker/clock"
)

const (
	processorsEvery = time.Second
	// fullShare is how much of its processors' time the process takes that could do with more;
	// one that waits for others' use of the machine takes less.
	fullShare = 0.97
	// quietShare is how much of fewer ones' time it may take to be given those.
	quietShare = 0.9
)

// nextProcessors returns on how many processors to run, if there are as many, after a time in
// which the process, running on now of them, took the time of so many.
//
// As few as the load needs are best: connections then stay with one, instead of waking another
// whose cache has nothing of them. docs/performance.md has what that is worth.
func nextProcessors(now int, taken float64) int {
	if taken > fullShare*float64(now) {
		return 2 * now
	}
	return min(max(int(math.Ceil(taken/quietShare)), 1), now)
}

// runOn has Go run on next processors, or as many as there are, and returns on how many. Their
// number may be another than before, as a container's limit may, and Go itself no longer looks
// once it was told one.
func runOn(next int) int {
	runtime.SetDefaultGOMAXPROCS()
	next = min(next, runtime.GOMAXPROCS(0))
	runtime.GOMAXPROCS(next)
	return next
}

// keepProcessorsFew has Go run on as few processors as the load needs until ctx ends, unless
// GOMAXPROCS says on how many. It begins with all, which a start has work for.
func keepProcessorsFew(ctx context.Context) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	tick := time.NewTicker(processorsEvery)
	defer tick.Stop()
	defer runtime.SetDefaultGOMAXPROCS()
	running := runtime.GOMAXPROCS(0)
	local := clock.Monotonic()
	spent, since := processTime(), local()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		total, now := processTime(), local()
		if next := nextProcessors(running, float64(total-spent)/float64(now.Sub(since))); next != running {
			running = runOn(next)
		}
		spent, since = total, now
	}
}

// processTime returns how much of the processors' time the process has taken since it began.
func processTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
