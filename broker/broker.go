package broker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wxsidecar/wxsidecar/broker/clock"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// Options configure a [Broker]. Store, Seal and WeChat are needed; every other
// zero value has a use.
type Options struct {
	Components []ComponentConfig
	Accounts   []AccountConfig
	// WeChat calls WeChat. The broker takes its OnDate.
	WeChat *wechat.Client
	Store  store.Store
	Seal   *seal.Keyring
	// Locker keeps other sidecars on the same store from renewing at once; nil
	// when there are none.
	Locker  store.Locker
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Now is our clock; nil means [clock.Boot]. Rand gives jitter within [0, 1); nil
	// means math/rand.
	Now  func() time.Time
	Rand func() float64
	// RenewAt is the share of its life after which a token is renewed; 0 means
	// 0.75, which is also the most: half an hour's outage is to be invisible.
	RenewAt float64
	// Rate is how many renewals a second are made ahead of need; 0 means 20.
	Rate float64
	// Workers is how many renewals run at once; 0 means 8. Eight times as many may
	// run while somebody waits for them.
	Workers int
	// Wait is how long a caller without a living token waits for one; 0 means 5 s.
	Wait time.Duration
	// CacheSize is about how many accounts the cache holds; 0 means 1,000,000. Its
	// memory grows with the accounts in use, not with this.
	CacheSize int64
	// Checkpoint is called at named points of a renewal and of a push, for tests
	// that end the process there; nil does nothing.
	Checkpoint func(name string)
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Locker == nil {
		o.Locker = noLocker{}
	}
	if o.Now == nil {
		o.Now = clock.Boot()
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.RenewAt == 0 || o.RenewAt > 0.75 {
		o.RenewAt = 0.75
	}
	if o.Rate == 0 {
		o.Rate = 20
	}
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.Wait == 0 {
		o.Wait = 5 * time.Second
	}
	if o.CacheSize == 0 {
		o.CacheSize = 1_000_000
	}
}

// noLocker is the lock of a sidecar that is alone.
type noLocker struct{}

func (noLocker) Lock(ctx context.Context, _ string) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

// configuration is what can be exchanged while the broker runs. It is immutable.
type configuration struct {
	components map[string]*component
	secrets    map[Key]secret.Text
}

// Broker keeps tokens fresh. Its methods are safe for concurrent use. Locks are
// taken in the order: a key's lock (or a component's), then mu.
type Broker struct {
	opts    Options
	wechat  *wechat.Client
	metrics *metrics.Metrics
	log     *slog.Logger
	clock   *clock.Clock
	records *records
	locks   *keyLocks
	cache   *cache
	limiter *rate.Limiter

	config    atomic.Pointer[configuration]
	directory directory
	exchanges exchanges
	astray    atomic.Pointer[refusedPush] // that may have been for any component; nil for none
	resets    atomic.Uint64               // grows when an operator says that quotas were cleared

	wake     chan struct{} // capacity 1, for schedule
	mail     chan struct{} // capacity 1, for workInbox
	silence  chan struct{} // capacity 1, for watch
	lessons  chan lesson
	renewals sync.WaitGroup
	helpers  sync.WaitGroup

	mu            sync.Mutex
	ctx           context.Context // of Run; nil before
	active        map[Key]*entry
	unsaved       map[Key]*entry
	coming        map[Key]chan struct{} // authorizations in the inbox, closed when done
	breakers      [KindWXCardTicket + 1]breaker
	spent         dayBudget
	urgent, ahead queue
	running       int
	paused        bool
	proxyFault    string    // why, where the way out fails and not WeChat; else empty
	resetAt       time.Time // when an operator last said that quotas were cleared
	doubted       time.Time // when an unknown appid last had the lists read
}

// New returns a broker over the store. It reads what the store has of the
// configured components and accounts, and calls nobody; [Broker.Run] does. It
// fails when the store cannot be read or is sealed with another key.
func New(o Options) (*Broker, error) {
	if o.Store == nil || o.Seal == nil || o.WeChat == nil {
		return nil, errors.New("broker: Store, Seal and WeChat are needed")
	}
	o.setDefaults()
	b := &Broker{
		opts: o, wechat: o.WeChat, metrics: o.Metrics, log: o.Log,
		clock:   clock.New(o.Now),
		records: &records{store: o.Store, seal: o.Seal, metrics: o.Metrics, log: o.Log},
		locks:   newKeyLocks(),
		limiter: rate.NewLimiter(rate.Limit(o.Rate), 1),
		wake:    make(chan struct{}, 1), mail: make(chan struct{}, 1), silence: make(chan struct{}, 1),
		lessons: make(chan lesson, lessonsKept),
		active:  map[Key]*entry{}, unsaved: map[Key]*entry{}, coming: map[Key]chan struct{}{},
		exchanges: exchanges{under: map[string]*exchangeFlight{}},
	}
	b.config.Store(&configuration{})
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	isOwn := func(appID string) bool {
		return slices.ContainsFunc(o.Accounts, func(a AccountConfig) bool { return a.AppID == appID })
	}
	if err := b.openStore(ctx, isOwn); err != nil {
		return nil, err
	}
	b.recallSkew(ctx)
	var err error
	if b.cache, err = newCache(o.CacheSize); err != nil {
		return nil, err
	}
	if err := b.SetConfig(o.Components, o.Accounts); err != nil {
		b.cache.close()
		return nil, err
	}
	b.wechat.OnDate(b.observeDate)
	b.metrics.KeyStates(b.countKeys)
	return b, nil
}

// Run renews, reads the inbox and the lists, and probes, until ctx ends. It
// returns when everything that it started has ended; renewals under way are
// brought to their end before. It is called once.
func (b *Broker) Run(ctx context.Context) error {
	b.mu.Lock()
	b.ctx = ctx
	b.mu.Unlock()
	for _, c := range b.configured() {
		b.startLookingAfter(c)
	}
	for _, body := range []func(context.Context){b.watch, b.schedule, b.workInbox, b.study, b.keepHouse, b.loadInUse} {
		b.helpers.Go(func() { body(ctx) })
	}
	<-ctx.Done()
	b.helpers.Wait()
	b.exchanges.wait()
	b.saveAtEnd(context.WithoutCancel(ctx))
	b.cache.close()
	return nil
}

// A store that refuses at the end is given two seconds: what it does not take by then
// is lost with the process.
const (
	savesAtEnd = 10
	saveAgain  = 200 * time.Millisecond
)

// saveAtEnd writes what the store does not know yet, for a few seconds at most.
func (b *Broker) saveAtEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for range savesAtEnd {
		b.saveUnsaved(ctx)
		if !b.hasUnsaved() {
			break
		}
		time.Sleep(saveAgain)
	}
	for b.saveUses(ctx, useSlackAtEnd) && ctx.Err() == nil {
		continue
	}
}

// startLookingAfter starts the goroutine of one component, if the broker runs.
func (b *Broker) startLookingAfter(c *component) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx == nil || c.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(b.ctx)
	c.stop = stop
	b.helpers.Go(func() { b.lookAfter(ctx, c) })
}

// keepHouse does what is done now and then.
func (b *Broker) keepHouse(ctx context.Context) {
	var purged, counted time.Time
	for {
		b.saveUnsaved(ctx)
		now := b.clock.Now()
		if now.Sub(counted) > time.Minute {
			b.saveUses(ctx, useSlack)
			counted = now
		}
		if now.Sub(purged) > time.Hour {
			b.purgeExchanges(ctx)
			purged = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// loadInUse brings back the authorizers and tickets that were in use when the
// last run ended, so that they are renewed ahead again. Tickets that an earlier
// version kept for a component, which has no pages, are deleted.
func (b *Broker) loadInUse(ctx context.Context) {
	for _, kind := range []Kind{KindAuthorizer, KindJSAPITicket, KindWXCardTicket} {
		var stray []change
		err := b.records.each(ctx, kind, func(key Key, r *record) bool {
			if kind.IsTicket() && b.component(key.AppID) != nil {
				stray = append(stray, change{name: key.String(), base: r.generation, generation: r.generation})
				return ctx.Err() == nil
			}
			if b.clock.Now().Sub(r.used) < 2*max(r.fullLife, r.dies.Sub(r.obtained)) || r.verdict == StateNeedsAuthorization {
				_, _ = b.entryOf(ctx, key) // what cannot be read now is read at its next call
			}
			return ctx.Err() == nil
		})
		if err != nil {
			b.log.Error("the store cannot be listed; accounts are loaded as they are called", "error", err)
		}
		b.deleteAll(ctx, stray)
	}
}

// deleteAll deletes records that nobody uses, one by one, so that a conflict keeps
// none of the others.
func (b *Broker) deleteAll(ctx context.Context, gone []change) {
	for _, c := range gone {
		if err := b.records.write(ctx, c); err != nil && !errors.Is(err, store.ErrConflict) {
			b.log.Warn("cannot delete a record that nobody uses", "record", c.name, "error", err)
			return
		}
	}
}

func (b *Broker) checkpoint(name string) {
	if b.opts.Checkpoint != nil {
		b.opts.Checkpoint(name)
	}
}

// component returns a configured component, or nil. No lock is taken.
func (b *Broker) component(appID string) *component { return b.config.Load().components[appID] }

func (b *Broker) configured() map[string]*component { return b.config.Load().components }

func (b *Broker) secretOf(key Key) secret.Text { return b.config.Load().secrets[key] }

func (b *Broker) isPaused() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.paused
}

// pace waits for a place under the rate limit, in WeChat's time like everybody.
func (b *Broker) pace(ctx context.Context) error {
	for !b.limiter.AllowN(b.clock.Now(), 1) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(float64(time.Second) / b.opts.Rate)):
		}
	}
	return nil
}

// Now returns WeChat's time: our clock, which runs through suspend, corrected by
// the skew measured against the Date of WeChat's answers.
func (b *Broker) Now() time.Time { return b.clock.Now() }

// Skew returns WeChat's clock minus ours, and whether it was measured in this run.
func (b *Broker) Skew() (time.Duration, bool) { return b.clock.Offset() }

func (b *Broker) observeDate(date, sent, received time.Time) {
	if b.moveClock(date, sent, received) {
		skew, _ := b.clock.Offset()
		b.log.Warn("our clock is not WeChat's; the difference is allowed for", "wechat_ahead_by", skew)
		b.saveSkew(skew)
		b.wakeUp()
	}
	skew, _ := b.clock.Offset()
	b.metrics.ClockSkew(skew)
}
