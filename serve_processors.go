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

// processors is on how many of most processors Go runs. As few as the load needs are best:
// connections then stay with one, instead of waking another whose cache has nothing of them.
// docs/performance.md has what that is worth.
type processors struct{ most, now int }

// next returns on how many to run after a time in which the process took that of so many.
func (p processors) next(taken float64) int {
	if taken > fullShare*float64(p.now) {
		return min(2*p.now, p.most)
	}
	return min(max(int(math.Ceil(taken/quietShare)), 1), p.now)
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
	p := processors{most: runtime.GOMAXPROCS(0)}
	p.now = p.most
	local := clock.Monotonic()
	spent, since := processTime(), local()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		total, now := processTime(), local()
		if next := p.next(float64(total-spent) / float64(now.Sub(since))); next != p.now {
			runtime.SetDefaultGOMAXPROCS() // the limit of the container may be another by now
			p.most = runtime.GOMAXPROCS(0)
			p.now = min(next, p.most)
			runtime.GOMAXPROCS(p.now)
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
