package clock

import (
	"testing"
	"time"
)

// overSleep is a clock whose machine slept so long, and has not been looked at since.
func overSleep(slept time.Duration) *bootClock {
	start := time.Now()
	b := &bootClock{start: start, wall: start.Round(0), boot: bootTime() - slept}
	b.looked.Store(-int64(lookInterval))
	return b
}

func TestBoot_GoesOnWhileTheMachineSleeps(t *testing.T) {
	const slept = 3 * time.Hour
	b := overSleep(slept)
	if off := time.Until(b.now()) - slept; off.Abs() > time.Minute {
		t.Errorf("after a sleep of %s the clock is off by %s", slept, off)
	}
}

func TestBoot_DoesNotTremble(t *testing.T) {
	b := overSleep(time.Hour)
	last := b.now()
	for range 10_000 {
		b.looked.Store(-int64(lookInterval)) // look each time
		now := b.now()
		if now.Before(last) {
			t.Fatalf("the clock went back by %s", last.Sub(now))
		}
		last = now
	}
}
