package broker

import (
	"context"
	"errors"
	"fmt"
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
	only atomic.Pointer[onlyAnswer]

	mu      sync.Mutex
	epoch   uint64 // grows with each change
	unknown map[string]time.Time
}

// onlyAnswer is how many accounts there are, two standing for any more, and the
// one if there is just one.
type onlyAnswer struct {
	account Account
	count   int
}

// changed forgets the answers: an authorizer came or went.
func (d *directory) changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch++
	d.only.Store(nil)
	clear(d.unknown)
}

// knownUnknown reports whether appID is remembered as unknown, and the epoch of what
// is known for [directory.noteUnknown].
func (d *directory) knownUnknown(appID string, now time.Time) (known bool, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.unknown[appID]
	return ok && now.Sub(at).Abs() < unknownMemory, d.epoch
}

// noteUnknown remembers that the store does not have appID, unless an account came or
// went since epoch, before which the store was not yet asked: it may be this one.
func (d *directory) noteUnknown(appID string, now time.Time, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch {
		return
	}
	if d.unknown == nil || len(d.unknown) >= unknownMost {
		d.unknown = map[string]time.Time{}
	}
	d.unknown[appID] = now
}

// OnlyAccount returns the one authorizer or own account there is; where there is none,
// the one authorizer whose authorization was taken back. It returns
// ErrUnknownAccount when there are none or several, and a *StateError while the
// list of authorizers cannot be known yet; for that it waits no longer than a
// caller waits for a token. It costs no more than a load from memory until an
// account comes or goes.
func (b *Broker) OnlyAccount(ctx context.Context) (Account, error) {
	if a := b.directory.only.Load(); a != nil && a.count == 1 {
		return a.account, nil
	}
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
		return a.account, nil
	default:
		return Account{}, fmt.Errorf("%w: there is not exactly one account, so the call must name it", ErrUnknownAccount)
	}
}

// rememberOnly returns what there is, from memory or from the store.
func (b *Broker) rememberOnly() (onlyAnswer, error) {
	if a := b.directory.only.Load(); a != nil {
		return *a, nil
	}
	b.directory.mu.Lock()
	epoch := b.directory.epoch
	b.directory.mu.Unlock()
	a, err := b.findOnly()
	if err != nil {
		return onlyAnswer{}, err
	}
	b.directory.mu.Lock()
	defer b.directory.mu.Unlock()
	if b.directory.epoch == epoch {
		b.directory.only.Store(&a)
	}
	return a, nil
}

// findOnly reads the store until a second account is found. One whose merchant has
// taken the authorization back counts only if there is no other: calls are to hear of
// that, not that they must name an account.
func (b *Broker) findOnly() (onlyAnswer, error) {
	var found, gone []Account
	for key := range b.config.Load().secrets {
		if key.Kind == KindAccount {
			found = append(found, Account{AppID: key.AppID, Kind: KindAccount})
		}
	}
	add := func(a Account, takenBack bool) {
		switch {
		case a.Component == "" || b.component(a.Component) == nil:
		case !takenBack:
			found = append(found, a)
		case len(gone) < 2:
			gone = append(gone, a)
		}
	}
	inMemory := map[string]bool{}
	for a, takenBack := range b.unsavedAuthorizers() {
		inMemory[a.AppID] = true
		add(a, takenBack)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := b.records.each(ctx, KindAuthorizer, func(key Key, r *record) bool {
		if !inMemory[key.AppID] {
			add(Account{AppID: key.AppID, Kind: KindAuthorizer, Component: r.component}, r.verdict == StateUnauthorized)
		}
		return len(found) < 2
	})
	if len(found) == 0 {
		found = gone
	}
	if err != nil || len(found) != 1 {
		return onlyAnswer{count: len(found)}, err
	}
	return onlyAnswer{account: found[0], count: 1}, nil
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
// or an authorizer. It returns ErrUnknownAccount, or a *StateError while the list
// of authorizers cannot be known yet (no ticket) or the account's authorization is
// still being exchanged, or the store's error. For the two it waits, each time as long
// as a caller waits for a token; otherwise it blocks on the store at most.
func (b *Broker) Account(ctx context.Context, appID string) (Account, error) {
	if e := b.cache.find(appID); e != nil {
		return *e.account.Load(), nil
	}
	for _, kind := range []Kind{KindAccount, KindComponent} {
		if _, ok := b.config.Load().secrets[Key{Kind: kind, AppID: appID}]; ok {
			return Account{AppID: appID, Kind: kind, Component: componentOf(kind, appID)}, nil
		}
	}
	e, err := b.entryOf(ctx, Key{Kind: KindAuthorizer, AppID: appID})
	if errors.Is(err, ErrUnknownAccount) {
		if err := b.awaitLists(ctx); err != nil {
			return Account{}, err
		}
		e, err = b.entryOf(ctx, Key{Kind: KindAuthorizer, AppID: appID})
	}
	if errors.Is(err, ErrUnknownAccount) {
		e, err = b.awaitComing(ctx, appID, err)
	}
	if errors.Is(err, ErrUnknownAccount) {
		b.doubtLists()
	}
	if err != nil {
		return Account{}, err
	}
	return *e.account.Load(), nil
}

// awaitComing waits for an account whose authorization lies in the inbox, as long
// as a caller waits for a token; unknown is returned for one that is not coming.
func (b *Broker) awaitComing(ctx context.Context, appID string, unknown error) (*entry, error) {
	b.mu.Lock()
	done := b.coming[appID]
	b.mu.Unlock()
	if done == nil {
		return nil, unknown
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Wait)
	defer cancel()
	key := Key{Kind: KindAuthorizer, AppID: appID}
	select {
	case <-done:
		return b.entryOf(ctx, key)
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

func componentOf(kind Kind, appID string) string {
	if kind == KindComponent {
		return appID
	}
	return ""
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
