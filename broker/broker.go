package broker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/clock"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// Options configure a [Broker], one field a setting. Store, Seal and WeChat are needed;
// every other zero value has a use.
type Options struct {
	Components []ComponentConfig
	Accounts   []AccountConfig
	// WeChat calls WeChat. The broker takes its OnDate.
	WeChat  *wechat.Client
	Store   store.Store
	Seal    *seal.Keyring
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Now is our clock; nil means [clock.Boot]. Rand gives jitter within [0, 1); nil
	// means math/rand.
	Now  func() time.Time
	Rand func() float64
	// Wall is the machine's clock, which may be stepped while Now runs on; nil means
	// time.Now, or Now where that is given.
	Wall func() time.Time
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
	// OnNews is told what other sidecars changed in a store that they share, after the broker
	// has followed; nil does nothing.
	OnNews func(store.News)
	// Checkpoint is called at named points of a renewal and of a push, for tests
	// that end the process there; nil does nothing.
	Checkpoint func(name string)
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wall == nil {
		o.Wall = o.Now
	}
	if o.Now == nil {
		o.Now = clock.Boot()
	}
	if o.Wall == nil {
		o.Wall = time.Now
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
	if o.OnNews == nil {
		o.OnNews = func(store.News) {}
	}
	if o.Checkpoint == nil {
		o.Checkpoint = func(string) {}
	}
}

// Broker keeps tokens fresh. Its methods are safe for concurrent use. It owns the parts
// and hands each to those that need it: table and ledger know nobody, directory, component,
// inbox and renewer use what stands before them. Locks are taken in the order: a key's
// lock in the ledger (or a component's record), then the table's, then those under which no
// other is taken.
type Broker struct {
	env        *env
	table      *table
	ledger     *ledger
	directory  *directory
	components *components
	inbox      *inbox
	renewer    *renewer
	replicas   *replicas
	stray      atomic.Pointer[refusedPush] // that may have been for any component; nil for none
	learned    chan learned
	tasks      sync.WaitGroup

	mu  sync.Mutex
	ctx context.Context // of Run; nil before
}

// New returns a broker over the store. It reads what the store has of the
// configured components and accounts, and calls nobody; [Broker.Run] does. It
// fails when the store cannot be read or is sealed with another key.
func New(o Options) (*Broker, error) {
	if o.Store == nil || o.Seal == nil || o.WeChat == nil {
		return nil, errors.New("broker: Store, Seal and WeChat are needed")
	}
	o.setDefaults()
	b := &Broker{learned: make(chan learned, learnedKept)}
	if err := b.assemble(o); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := b.ledger.open(ctx, newConfiguration(o.Components, o.Accounts).isOwn)
	if err == nil {
		err = b.SetConfig(o.Components, o.Accounts)
	}
	if err != nil {
		b.table.cache.close()
		return nil, err
	}
	o.WeChat.OnDate(b.observeDate)
	o.Metrics.KeyStates(b.table.count)
	return b, nil
}

// assemble makes the parts, and the functions by which one reaches another that stands
// after it.
func (b *Broker) assemble(o Options) error {
	b.env = &env{
		wechat: o.WeChat, clock: clock.New(o.Now), wall: o.Wall, metrics: o.Metrics, log: o.Log, rand: o.Rand, checkpoint: o.Checkpoint,
		config: &atomic.Pointer[configuration]{}, epoch: &atomic.Uint64{}, resets: &atomic.Uint64{}, coordination: newCoordination(o.Store),
	}
	b.env.config.Store(&configuration{})
	b.components = newComponents(o.Wait)
	var err error
	b.table, err = newTable(b.env, tableOptions{
		renewAt: o.RenewAt, perSecond: o.Rate, workers: o.Workers, wait: o.Wait,
		renew:        func(ctx context.Context, e *entry) { b.renewer.begin(ctx, e) },
		tokenCame:    b.tokenCame,
		ticketReason: b.components.ticketReason,
		answered:     b.components.answered,
	}, o.CacheSize)
	if err != nil {
		return err
	}
	b.ledger = &ledger{env: b.env, store: o.Store, seal: o.Seal, locks: newKeyLocks(), memory: b.table, unsaved: map[Key]struct{}{}}
	b.directory = &directory{env: b.env, table: b.table, ledger: b.ledger, directoryOptions: directoryOptions{
		wait: o.Wait, awaitLists: b.components.awaitLists, reconcile: b.Reconcile,
		pending: func(key Key) <-chan struct{} { return b.inbox.pendingOf(key) },
		refused: func(key Key) bool { return b.inbox.wasRefused(key) },
	}}
	b.inbox = newInbox(b.directory, b.components)
	b.renewer = &renewer{env: b.env, table: b.table, ledger: b.ledger, directory: b.directory, components: b.components}
	b.replicas = &replicas{
		env: b.env, table: b.table, ledger: b.ledger, directory: b.directory, components: b.components, inbox: b.inbox,
		began: make(chan struct{}), compare: make(chan struct{}, 1), emptied: make(chan struct{}, 1), onNews: o.OnNews,
	}
	return nil
}

// Run renews, reads the inbox and the lists, and probes, until ctx ends. It
// returns when everything that it started has ended; renewals under way are
// brought to their end before. It is called once.
func (b *Broker) Run(ctx context.Context) error {
	b.mu.Lock()
	b.ctx = ctx
	b.mu.Unlock()
	for _, c := range b.components.list() {
		c.begin(ctx, &b.tasks)
	}
	for _, run := range []func(context.Context){b.table.watch, b.table.schedule, b.inbox.run, b.saveLearned, b.maintain, b.replicas.loadInUse} {
		b.tasks.Go(func() { run(ctx) })
	}
	if b.env.coordination != nil {
		b.tasks.Go(func() { b.replicas.run(ctx) })
	}
	<-ctx.Done()
	b.tasks.Wait()
	b.renewer.tasks.Wait()
	b.inbox.awaitFlights()
	b.saveAtEnd(context.WithoutCancel(ctx))
	b.table.cache.close()
	return nil
}

// Now returns WeChat's time: our clock, which runs through suspend, corrected by
// the skew measured against the Date of WeChat's answers.
func (b *Broker) Now() time.Time { return b.env.clock.Now() }

// Skew returns WeChat's clock minus the machine's, to the millisecond, and whether WeChat's was
// seen in this run. The machine's may have been stepped since; [Broker.Now] was not by that.
func (b *Broker) Skew() (time.Duration, bool) { return b.env.skew() }

// ProbeWeChat has WeChat asked soon, without a token, whether it answers and what time it is: a
// call of an app has met no answer, or another time. Many calls are one probe every two seconds.
// It does not wait.
func (b *Broker) ProbeWeChat() { notify(b.table.doubted) }

// Known returns the account that [Broker.Account] would, where memory alone says for certain which
// is meant; else nil, which says nothing of the account. It keeps nothing of appID, takes no lock
// of the broker's and allocates nothing.
func (b *Broker) Known(appID []byte, c Choice) *Known {
	return b.directory.known(appID, c)
}

// Account returns what is known of appid: a configured component or own account,
// or an authorizer, of the component that c decides for. It returns ErrUnknownAccount, an
// *AmbiguousError where c does not decide, a *StateError while the list of authorizers
// cannot be known yet (no ticket), the account's authorization is still being exchanged or the
// store did not take it, or the store's error. For the first two it waits, each time as long
// as a caller waits for a token; otherwise it blocks on the store at most.
func (b *Broker) Account(ctx context.Context, appID string, c Choice) (Account, error) {
	return b.directory.account(ctx, appID, c)
}

// OnlyAccount returns the one authorizer or own account there is; where there is none,
// the one authorizer whose authorization was taken back. Of a merchant that has authorised
// several components it is the one that c decides for. It returns what [Broker.Account]
// returns, with ErrUnknownAccount where there are none or several, and waits no longer.
// Until an account comes or goes it costs no more than that.
func (b *Broker) OnlyAccount(ctx context.Context, c Choice) (Account, error) {
	return b.directory.onlyAccount(ctx, c)
}

// Reconcile has the component's list of authorizers compared with what is held,
// soon. It does not wait for it.
func (b *Broker) Reconcile(appID string) {
	if c := b.components.get(appID); c != nil {
		c.reconcile()
	}
}

// Renew has the key renewed now, whatever its condition: an operator says that
// the cause is cured. It also ends what stands against it: the key's budget of forced
// renewals, and the breaker that it shares with others. It does not wait, and does nothing
// for a key that is not in use.
func (b *Broker) Renew(key Key) {
	if c := b.components.get(key.AppID); c != nil && key.Kind == KindComponent {
		c.retryStart()
	}
	b.table.retry(key)
}
