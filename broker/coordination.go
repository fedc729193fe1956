package broker

import (
	"context"
	"maps"
	"sort"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// coordination is what is known of agreeing with the other sidecars on the same store. It is
// safe for concurrent use. A nil one is that of a sidecar that is alone.
type coordination struct {
	shared store.Shared

	mu      sync.Mutex
	err     error              // why the store does not answer; nil while it does
	since   time.Time          // when that began, by our own clock
	refused string             // why the store gave the last lease that was asked for to nobody; "" where it did
	other   time.Time          // when another sidecar last changed something, by our own clock
	name    string             // this sidecar's, as the others know it; "" while that is not known
	peers   []store.Peer       // the others that announced themselves, as of met
	met     time.Time          // when they were asked for, by our own clock
	solo    map[Key]time.Time  // when a key was last renewed without the others, by our own clock
	tally   map[tallied]uint64 // see CoordinationStatus
}

// tallied is what a coordination counts.
type tallied uint8

const (
	contested tallied = iota
	fenced
	repaired
	solo
)

func newCoordination(s store.Store) *coordination {
	shared, ok := s.(store.Shared)
	if !ok {
		return nil
	}
	return &coordination{shared: shared, solo: map[Key]time.Time{}, tally: map[tallied]uint64{}}
}

// lost notes that the store does not answer, and reports whether that is news.
func (c *coordination) lost(err error, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.err == nil
	if news {
		c.since = now
	}
	c.err = err
	return news
}

// found notes that the store answers, and returns for how long it did not, and false if it
// did before.
func (c *coordination) found(now time.Time) (away time.Duration, news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return 0, false
	}
	c.err, c.refused = nil, ""
	// A store that comes and goes does not shorten the pauses between them.
	maps.DeleteFunc(c.solo, func(_ Key, at time.Time) bool { return now.Sub(at) >= soloPause })
	return now.Sub(c.since), true
}

// down returns why the store does not answer, nil while it does.
func (c *coordination) down() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// asked notes what came of asking for a lease. A store that answers and takes nothing, as it is
// full, is found out so: nothing is renewed then, and nothing remains unsaved.
func (c *coordination) asked(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = ""
	if leaseResult(err) == "error" {
		c.refused = err.Error()
	}
}

// heard notes that another sidecar changed something.
func (c *coordination) heard(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.other = now
}

// meet notes who announced themselves.
func (c *coordination) meet(name string, others []store.Peer, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name, c.peers, c.met = name, others, now
}

// maySolo reports whether a key may be renewed without the others at now, so long after it
// was last.
func (c *coordination) maySolo(key Key, now time.Time, after time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.solo[key]
	return !ok || now.Sub(last) >= after
}

// noteSolo notes that a key was renewed without the others.
func (c *coordination) noteSolo(key Key, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.solo[key] = now
	c.tally[solo]++
}

func (c *coordination) count(what tallied) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally[what]++
}

// CoordinationStatus says how this sidecar gets on with the others on the same store.
type CoordinationStatus struct {
	// State is "ok", or "degraded" while the store does not answer: living tokens are served,
	// renewals wait until a token's last twelfth, and pushes are answered 500.
	State string `json:"state"`
	// Error says why it is degraded, and Since when that began; empty and nil while it is ok.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Refused says why the store took the last lease not that was asked for; empty where it did.
	Refused string `json:"refused,omitempty"`
	// OtherSeen is when another sidecar was last seen to change something in the store; nil for
	// never, since the start.
	OtherSeen *time.Time `json:"other_seen,omitempty"`
	// Name is this sidecar's, as the others know it; empty while that is not known.
	Name string `json:"name,omitempty"`
	// Others are the other sidecars that used the store in the last hour, by their names, 256 at
	// most.
	Others []ReplicaStatus `json:"others,omitempty"`
	// Contested counts renewals that were committed over that of a sidecar with an older
	// lease, Fenced those that were dropped for that of one with a newer lease, Repaired
	// records that the store had lost and this sidecar put back, and Solo renewals without
	// the others; since the start.
	Contested uint64 `json:"contested"`
	Fenced    uint64 `json:"fenced"`
	Repaired  uint64 `json:"repaired"`
	Solo      uint64 `json:"solo"`
}

// ReplicaStatus says what is known of another sidecar on the same store.
type ReplicaStatus struct {
	Name string `json:"name"`
	// SeenAt is when it announced itself last; it does so every 15 seconds. Away says that it had
	// not for 45 seconds when it was last looked for: it has ended, or does not reach the store.
	SeenAt time.Time `json:"seen_at"`
	Away   bool      `json:"away"`
}

const (
	// announceEvery is how often a sidecar announces itself.
	announceEvery = 15 * time.Second
	// awayAfter is after how long another one is said to be away.
	awayAfter = 3 * announceEvery
)

// othersLocked returns what is known of the others.
func (c *coordination) othersLocked(skew time.Duration) []ReplicaStatus {
	all := []ReplicaStatus{}
	for _, p := range c.peers {
		all = append(all, ReplicaStatus{p.Name, *shownTime(c.met.Add(skew - p.Ago)), p.Ago > awayAfter})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

func (c *coordination) status(skew time.Duration) CoordinationStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := CoordinationStatus{
		State: "ok", Refused: c.refused, Name: c.name, Others: c.othersLocked(skew), Contested: c.tally[contested], Fenced: c.tally[fenced], Repaired: c.tally[repaired], Solo: c.tally[solo],
	}
	if !c.other.IsZero() {
		s.OtherSeen = shownTime(c.other.Add(skew))
	}
	if c.err != nil {
		s.State, s.Error, s.Since = "degraded", c.err.Error(), shownTime(c.since.Add(skew))
	}
	return s
}

// lease takes the lease of name for a while, see [store.Locker]; that of a sidecar that is
// alone is always had.
func (v *env) lease(ctx context.Context, name string, o store.LeaseOptions) (store.Lease, error) {
	if v.coordination == nil {
		return ownLease{}, nil
	}
	if err := v.coordination.down(); err != nil {
		return nil, err
	}
	l, err := v.coordination.shared.Lock(ctx, name, o)
	v.metrics.Lease(leaseResult(err))
	if err == nil || ctx.Err() == nil { // who gave up waiting knows nothing of the store
		v.coordination.asked(err)
	}
	return l, err
}

// ownLease is the lease of a sidecar that is alone, or renews without the others.
type ownLease struct{}

// Fence implements [store.Lease].
func (ownLease) Fence() uint64 { return 0 }

// Left implements [store.Lease].
func (ownLease) Left() time.Duration { return fullLife }

// Extend implements [store.Lease].
func (ownLease) Extend(context.Context) error { return nil }

// Unlock implements [store.Lease].
func (ownLease) Unlock() {}
