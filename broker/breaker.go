package broker

import "time"

const (
	breakerWindow = 10 * time.Minute
	breakerKeys   = 3
	quotaProbe    = time.Hour
)

// breaker stops a whole group when several of its keys met their quota at once:
// then the quota is not one merchant's. The zero value is closed. It is not safe
// for concurrent use.
type breaker struct {
	met   map[Key]time.Time
	until time.Time
	probe time.Time
}

// note takes a 45009 of key and opens the breaker if it is one of several.
func (b *breaker) note(key Key, now time.Time) {
	if b.met == nil {
		b.met = map[Key]time.Time{}
	}
	b.met[key] = now
	for k, at := range b.met {
		if now.Sub(at) > breakerWindow {
			delete(b.met, k)
		}
	}
	if len(b.met) >= breakerKeys {
		b.until, b.probe = chinaMidnight(now), now.Add(quotaProbe)
	}
}

// noteElsewhere is note of what WeChat answered to another sidecar at that time: its probe
// counts for all.
func (b *breaker) noteElsewhere(key Key, at, now time.Time) {
	b.note(key, at)
	if now.Before(b.until) {
		b.probe = later(b.probe, at.Add(quotaProbe))
	}
}

// allow reports whether a call may be made. While open it lets one an hour
// through, to notice an end that came early. One for a key that has met its own
// quota today, as met says, tells nothing of the others: it takes the place only
// if none of them wanted it.
func (b *breaker) allow(now time.Time, met bool) bool {
	if !now.Before(b.until) {
		return true
	}
	probe := b.probe
	if met {
		probe = probe.Add(breakerWindow)
	}
	if now.Before(probe) {
		return false
	}
	b.probe = now.Add(quotaProbe)
	return true
}

// succeeded notes that a call for key went well: it ends an open breaker, as its
// probe did well, and no longer counts key among those in trouble. It reports
// whether the breaker was open.
func (b *breaker) succeeded(key Key, now time.Time) bool {
	if now.Before(b.until) {
		b.reset()
		return true
	}
	delete(b.met, key)
	return false
}

// reset closes the breaker.
func (b *breaker) reset() { *b = breaker{} }
