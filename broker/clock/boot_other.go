//go:build !linux

package clock

import "time"

// Boot returns a clock that starts at the wall clock's present time and runs
// on the monotonic clock: no step of the wall clock moves it. It is safe for
// concurrent use.
func Boot() func() time.Time {
	start := time.Now()
	return func() time.Time { return start.Round(0).Add(time.Since(start)) }
}
