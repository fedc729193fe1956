package clock

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// lookInterval is how often a bootClock looks whether the machine has slept. It is
// also how long the clock may stay behind after a sleep.
const lookInterval = 50 * time.Millisecond

// Boot returns a clock that starts at the wall clock's present time and then
// runs on CLOCK_BOOTTIME: it goes on while the machine sleeps (within 50 ms of its
// waking), and no step of the wall clock moves it. It is safe for concurrent use,
// and a reading costs less than time.Now.
func Boot() func() time.Time {
	start := time.Now()
	b := &bootClock{start: start, wall: start.Round(0), boot: bootTime()}
	return b.now
}

// bootClock is the monotonic clock, which stands still while the machine sleeps,
// with the sleep added.
type bootClock struct {
	start time.Time     // with a monotonic reading
	wall  time.Time     // start without it
	boot  time.Duration // CLOCK_BOOTTIME at start

	slept  atomic.Int64 // nanoseconds since start
	looked atomic.Int64 // when slept was measured, nanoseconds after start
}

func (b *bootClock) now() time.Time {
	awake := time.Since(b.start)
	if awake-time.Duration(b.looked.Load()) >= lookInterval {
		b.look(awake)
	}
	return b.wall.Add(awake + time.Duration(b.slept.Load()))
}

// look measures the sleep with a reading of CLOCK_BOOTTIME, which is a system call.
// The reading lies between two of the monotonic clock, so the sleep is known up to
// their distance; a value within is kept, so that the clock does not jitter.
func (b *bootClock) look(before time.Duration) {
	boot := bootTime() - b.boot
	after := time.Since(b.start)
	if boot <= 0 {
		return
	}
	known := time.Duration(b.slept.Load())
	b.slept.Store(int64(min(max(known, boot-after), boot-before)))
	b.looked.Store(int64(after))
}

func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // every kernel since 2.6.39 has it; without it the clock is the monotonic one
	}
	return time.Duration(ts.Nano())
}
