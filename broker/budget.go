package broker

import "time"

const (
	forcedBurst    = 6
	forcedInterval = 30 * time.Second // at the full life
	// forceRefreshInterval and forceRefreshPerDay stay below WeChat's own limits
	// of 30 s and 20 a day: others may use the same account.
	forceRefreshInterval = 30 * time.Second
	forceRefreshPerDay   = 10
)

// forcedBudget limits the renewals that a rejected token forces: six at once,
// then one in an interval. The zero value is full. It is not safe for concurrent
// use.
type forcedBudget struct {
	spent float64 // of forcedBurst
	at    instant // when spent was right
}

func (f *forcedBudget) take(now time.Time, life time.Duration) bool {
	if gone := now.Sub(f.at.time()); gone > 0 && f.at != 0 {
		f.spent = max(0, f.spent-float64(gone)/float64(share(forcedInterval, life)))
	}
	f.at = instantOf(now)
	if f.spent > forcedBurst-1 {
		return false
	}
	f.spent++
	return true
}

// dayBudget counts something within a day of China Standard Time, by which
// WeChat counts. The zero value is unused. It is not safe for concurrent use.
type dayBudget struct {
	day, used int32
}

func (d *dayBudget) take(now time.Time, limit int) bool {
	if day := chinaDay(now); day != d.day {
		*d = dayBudget{day: day}
	}
	if int(d.used) >= limit {
		return false
	}
	d.used++
	return true
}

// left reports whether take would succeed.
func (d dayBudget) left(now time.Time, limit int) bool { return d.take(now, limit) }

// share returns how much of limit is used, from 0 to 1.
func (d dayBudget) share(now time.Time, limit int) float64 {
	if d.used == 0 || chinaDay(now) != d.day {
		return 0
	}
	return float64(d.used) / float64(limit)
}

// China has had no daylight saving since 1991, so a fixed zone needs no zone file.
const chinaOffset = 8 * time.Hour

func chinaDay(t time.Time) int32 {
	return int32(t.Add(chinaOffset).Unix() / int64(24*time.Hour/time.Second))
}

// chinaMidnight returns when the day of t ends in China.
func chinaMidnight(t time.Time) time.Time {
	return time.Unix(int64(chinaDay(t)+1)*int64(24*time.Hour/time.Second), 0).Add(-chinaOffset)
}

const (
	// forcedPerDayFactor is how many times the renewals that a day needs rejections may
	// force of one key: no fault may burn a merchant's quota.
	forcedPerDayFactor = 10
	forcedPerDayFloor  = 200
)

// forcedPerDay is the daily budget of forced renewals of a key whose tokens live life.
func forcedPerDay(life time.Duration) int {
	return max(forcedPerDayFloor, forcedPerDayFactor*int(24*time.Hour/max(life, time.Second)))
}
