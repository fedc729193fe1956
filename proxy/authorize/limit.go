package authorize

import (
	"net/netip"
	"sync"
	"time"
)

// Each page that leads to WeChat costs a call of api_create_preauthcode, whose daily quota
// WeChat does not tell. These let an office through one address in, and keep a component
// below 20,000 a day whoever comes. The page that WeChat leads back to has the same limits: it
// costs a call of api_query_auth, also when it is loaded again with a code that WeChat refused.
const (
	addressBurst   = 10
	addressEvery   = 10 * time.Second
	componentBurst = 120
	componentEvery = 5 * time.Second
	// maxAddresses bounds the addresses that are remembered.
	maxAddresses = 8192
)

// limits bound how often one of the pages is served. It is safe for concurrent use.
type limits struct {
	mu         sync.Mutex
	addresses  limiter[netip.Prefix]
	components limiter[string]
}

func newLimits() *limits {
	return &limits{
		addresses:  limiter[netip.Prefix]{burst: addressBurst, every: addressEvery, free: map[netip.Prefix]time.Time{}},
		components: limiter[string]{burst: componentBurst, every: componentEvery, free: map[string]time.Time{}},
	}
}

// take admits one page. If it does not, it returns how long to wait, and whether it is the
// component's limit that is reached. Only configured components may come here.
func (l *limits) take(component string, address netip.Prefix, now time.Time) (wait time.Duration, everybodys bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.addresses.take(address, now); wait > 0 {
		return wait, false
	}
	return l.components.take(component, now), true
}

// limiter lets each key have burst at once, and then one every so often.
type limiter[K comparable] struct {
	burst int
	every time.Duration
	// free is when all of a key's burst is free again. A key that is not there has all.
	free map[K]time.Time
}

// take takes one, or returns how long to wait for it.
func (l *limiter[K]) take(key K, now time.Time) time.Duration {
	free := l.free[key]
	if free.Before(now) {
		free = now
	}
	if wait := free.Add(l.every).Sub(now) - time.Duration(l.burst)*l.every; wait > 0 {
		return wait
	}
	if len(l.free) >= maxAddresses {
		l.purge(now)
	}
	l.free[key] = free.Add(l.every)
	return 0
}

// purge forgets the keys that have all of their burst. If none has, it forgets all: whoever
// comes from so many addresses is held by the component's limit.
func (l *limiter[K]) purge(now time.Time) {
	for key, free := range l.free {
		if !now.Before(free) {
			delete(l.free, key)
		}
	}
	if len(l.free) >= maxAddresses {
		clear(l.free)
	}
}
