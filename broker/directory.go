package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const (
	// unknownMemory is how long an appid that nobody knows is remembered as such, so
	// that a mistaken app does not read the store on every call.
	unknownMemory = 3 * time.Second
	unknownMost   = 4096
	unknownDoubt  = 10 * time.Minute
)

// directory answers which accounts there are, from the store, and remembers the
// answers for as long as they hold.
type directory struct {
	epoch atomic.Uint64 // grows with each change, under mu
	only  atomic.Pointer[onlyAnswer]

	mu      sync.Mutex
	unknown map[Key]time.Time
}

// onlyAnswer is how many appids of accounts there are, two standing for any more, and
// the one if there is just one.
type onlyAnswer struct {
	appID string
	count int
}

// changed forgets the answers: an authorizer came or went.
func (d *directory) changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch.Add(1)
	d.only.Store(nil)
	clear(d.unknown)
}

// knownUnknown reports whether key is remembered as unknown, and the epoch of what
// is known for [directory.noteUnknown].
func (d *directory) knownUnknown(key Key, now time.Time) (known bool, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.unknown[key]
	return ok && now.Sub(at).Abs() < unknownMemory, d.epoch.Load()
}

// noteUnknown remembers that the store does not have key, unless an account came or
// went since epoch, before which the store was not yet asked: it may be this one.
func (d *directory) noteUnknown(key Key, now time.Time, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch.Load() != epoch {
		return
	}
	if d.unknown == nil || len(d.unknown) >= unknownMost {
		d.unknown = map[Key]time.Time{}
	}
	d.unknown[key] = now
}

// isSole reports whether e is still known to be the only account of its appid.
func (d *directory) isSole(e *entry) bool { return e.sole.Load() == d.epoch.Load()+1 }

// noteSole remembers that e was found to be the only account of its appid at epoch.
func (d *directory) noteSole(e *entry, epoch uint64) { e.sole.Store(epoch + 1) }

// OnlyAccount returns the one authorizer or own account there is; where there is none,
// the one authorizer whose authorization was taken back. Of a merchant that has authorised
// several components it is the one that c decides for. It returns what
// [Broker.Account] returns, with ErrUnknownAccount where there are none or several, and
// waits no longer. Until an account comes or goes it costs no more than that.
func (b *Broker) OnlyAccount(ctx context.Context, c Choice) (Account, error) {
	a, err := b.rememberOnly()
	if err == nil && a.count == 0 {
		if err := b.awaitLists(ctx); err != nil {
			return Account{}, err
		}
		a, err = b.rememberOnly()
	}
	switch {
	case err != nil:
		return Account{}, err
	case a.count == 1:
		return b.Account(ctx, a.appID, c)
	default:
		return Account{}, fmt.Errorf("%w: there is not exactly one account, so the call must name it", ErrUnknownAccount)
	}
}

// rememberOnly returns what there is, from memory or from the store.
func (b *Broker) rememberOnly() (onlyAnswer, error) {
	if a := b.directory.only.Load(); a != nil {
		return *a, nil
	}
	epoch := b.directory.epoch.Load()
	a, err := b.findOnly()
	if err != nil {
		return onlyAnswer{}, err
	}
	b.directory.mu.Lock()
	defer b.directory.mu.Unlock()
	if b.directory.epoch.Load() == epoch {
		b.directory.only.Store(&a)
	}
	return a, nil
}

// findOnly reads the store until a second appid is found. One whose merchant has
// taken the authorization back counts only if there is no other: calls are to hear of
// that, not that they must name an account.
func (b *Broker) findOnly() (onlyAnswer, error) {
	found, gone := map[string]bool{}, map[string]bool{}
	for key := range b.config.Load().secrets {
		if key.Kind == KindAccount {
			found[key.AppID] = true
		}
	}
	add := func(key Key, takenBack bool) {
		switch {
		case b.component(key.Component) == nil:
		case !takenBack:
			found[key.AppID] = true
		case len(gone) < 2:
			gone[key.AppID] = true
		}
	}
	inMemory := b.unsavedAuthorizers()
	for key, takenBack := range inMemory {
		add(key, takenBack)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := b.records.each(ctx, KindAuthorizer, func(key Key, r *record) bool {
		if _, known := inMemory[key]; !known && r.known() {
			add(key, r.verdict == StateUnauthorized)
		}
		return len(found) < 2
	})
	if len(found) == 0 {
		found = gone
	}
	only := onlyAnswer{count: len(found)}
	for appID := range found {
		only.appID = appID
	}
	return only, err
}

// OnlyComponent returns the appid of the one configured component, and false when
// there are none or several.
func (b *Broker) OnlyComponent() (string, bool) {
	all := b.config.Load().components
	if len(all) != 1 {
		return "", false
	}
	for appID := range all {
		return appID, true
	}
	return "", false
}

// Secret returns the configured secret of a component or an own account, and
// false for any other appid.
func (b *Broker) Secret(appID string) (secret.Text, bool) {
	secrets := b.config.Load().secrets
	for _, kind := range []Kind{KindComponent, KindAccount} {
		if s, ok := secrets[Key{Kind: kind, AppID: appID}]; ok {
			return s, true
		}
	}
	return secret.Text{}, false
}

// Account returns what is known of appid: a configured component or own account,
// or an authorizer, of the component that c decides for. It returns ErrUnknownAccount, an
// *AmbiguousError where c does not decide, a *StateError while the list
// of authorizers cannot be known yet (no ticket) or the account's authorization is
// still being exchanged, or the store's error. For the two it waits, each time as long
// as a caller waits for a token; otherwise it blocks on the store at most.
func (b *Broker) Account(ctx context.Context, appID string, c Choice) (Account, error) {
	epoch := b.directory.epoch.Load()
	e := b.cache.find(appID)
	if e != nil && b.directory.isSole(e) && (c.Component == "" || c.Component == e.key.Component) {
		return e.key.account(), nil
	}
	for _, key := range []Key{{Kind: KindAccount, AppID: appID}, componentKey(appID)} {
		if _, ok := b.config.Load().secrets[key]; ok {
			if e != nil && e.key == key {
				b.directory.noteSole(e, epoch)
			}
			return key.account(), nil
		}
	}
	found, err := b.authorizations(ctx, appID, c.Component)
	if err == nil && len(found) == 0 {
		if err := b.awaitLists(ctx); err != nil {
			return Account{}, err
		}
		found, err = b.authorizations(ctx, appID, c.Component)
	}
	if err == nil && len(found) == 0 {
		found, err = b.awaitComing(ctx, appID, c.Component)
	}
	switch {
	case err != nil:
		return Account{}, err
	case len(found) == 0:
		b.doubtLists()
		return Account{}, unknown(appID)
	default:
		return b.choose(appID, found, c)
	}
}

// authorizations returns the authorizers of that appid, of the one component or, if that
// is empty, of all. What is in memory counts also while the store cannot be read.
func (b *Broker) authorizations(ctx context.Context, appID, component string) ([]*entry, error) {
	var found []*entry
	var failed error
	epoch := b.directory.epoch.Load()
	for id := range b.configured() {
		if component != "" && component != id {
			continue
		}
		e, err := b.entryOf(ctx, authorizerKey(id, appID))
		switch {
		case err == nil:
			found = append(found, e)
		case !errors.Is(err, ErrUnknownAccount):
			failed = err
		}
	}
	if len(found) == 1 && failed == nil && component == "" {
		b.directory.noteSole(found[0], epoch)
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, failed
}

// choose decides which of several authorizations of one merchant is meant.
func (b *Broker) choose(appID string, found []*entry, c Choice) (Account, error) {
	found = narrow(found, func(e *entry) bool { return slices.Contains(c.Among, e.key.Component) })
	b.mu.Lock()
	found = narrow(found, (*entry).authorized)
	b.mu.Unlock()
	ambiguous := &AmbiguousError{AppID: appID}
	for _, e := range found {
		if len(found) == 1 || e.key.Component == c.Default {
			return e.key.account(), nil
		}
		ambiguous.Components = append(ambiguous.Components, e.key.Component)
	}
	slices.Sort(ambiguous.Components)
	return Account{}, ambiguous
}

// narrow returns those for which ok holds, or all where it holds for none.
func narrow(all []*entry, ok func(*entry) bool) []*entry {
	some := slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return !ok(e) })
	if len(some) == 0 {
		return all
	}
	return some
}

// awaitComing waits for an account whose authorization lies in the inbox, as long
// as a caller waits for a token. It returns none for one that is not coming.
func (b *Broker) awaitComing(ctx context.Context, appID, component string) ([]*entry, error) {
	var key Key
	var done chan struct{}
	b.mu.Lock()
	for id := range b.configured() {
		k := authorizerKey(id, appID)
		if coming := b.coming[k]; coming != nil && (component == "" || component == id) {
			key, done = k, coming
		}
	}
	b.mu.Unlock()
	if done == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Wait)
	defer cancel()
	select {
	case <-done:
		return b.authorizations(ctx, appID, component)
	case <-ctx.Done():
		return nil, &StateError{
			Key: key, State: StateRetrying, RetryAfter: time.Second,
			Reason: "the merchant has just authorised, and the authorization code is still being exchanged",
		}
	}
}

// doubtLists has the lists read again because an app names an account that nobody
// knows: the event of its authorization may have been lost. Mistaken apps cause
// one reading in unknownDoubt, whatever they call.
func (b *Broker) doubtLists() {
	b.mu.Lock()
	now := b.clock.Now()
	doubt := now.Sub(b.doubted) > unknownDoubt
	if doubt {
		b.doubted = now
	}
	b.mu.Unlock()
	if !doubt {
		return
	}
	for appID := range b.configured() {
		b.Reconcile(appID)
	}
}

// awaitLists waits, no longer than a caller waits for a token, until the list of
// every component has been read once: before that nobody can say who is unknown.
func (b *Broker) awaitLists(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Wait)
	defer cancel()
	for _, c := range b.configured() {
		select {
		case <-c.listed:
			continue
		default:
		}
		if _, err := b.Token(ctx, componentKey(c.appID)); err != nil {
			return err
		}
		select {
		case <-c.listed:
			b.directory.changed()
		case <-ctx.Done():
			return &StateError{
				Key: componentKey(c.appID), State: StateRetrying, RetryAfter: time.Second,
				Reason: "the list of authorizers has not been read yet since the store was empty; it is being asked for",
			}
		}
	}
	return nil
}
