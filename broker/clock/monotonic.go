package clock

import "time"

// Monotonic returns a clock for deadlines and durations. It reads one clock of the system where
// [time.Now] reads two, and no step of the wall clock moves it: its wall time is that of its
// start, and what has passed since. It is safe for concurrent use.
func Monotonic() func() time.Time {
	start := time.Now()
	return func() time.Time { return start.Add(time.Since(start)) }
}
