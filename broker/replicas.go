package broker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// replicas has everything in memory follow what other sidecars on the same store do, and puts
// back what the store loses. It is safe for concurrent use.
type replicas struct {
	*env
	table      *table
	ledger     *ledger
	directory  *directory
	components *components
	inbox      *inbox
	began      chan struct{}    // closed once the first news was followed
	compare    chan struct{}    // capacity 1: all that is held is to be compared with the store
	emptied    chan struct{}    // capacity 1: and the store was emptied
	onNews     func(store.News) // see Options
}

// run follows the store until ctx ends.
func (r *replicas) run(ctx context.Context) {
	var others sync.WaitGroup
	others.Go(func() { r.compareWhenTold(ctx) })
	others.Go(func() { r.announce(ctx) })
	r.coordination.shared.Watch(ctx, func(n store.News) { r.take(ctx, n) })
	others.Wait()
}

// announce says now and then that this sidecar uses the store, until ctx ends. That the store
// does not answer is told by Watch.
func (r *replicas) announce(ctx context.Context) {
	for {
		asking, cancel := context.WithTimeout(ctx, storeTimeout)
		name, others, err := r.coordination.shared.Announce(asking)
		cancel()
		if err == nil {
			r.coordination.meet(name, others, r.clock.Local())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceEvery):
		}
	}
}

// take does what one news asks for.
func (r *replicas) take(ctx context.Context, n store.News) {
	if n.Err != nil {
		if r.coordination.lost(n.Err, r.clock.Local()) {
			r.metrics.StoreUp(false)
			r.log.Error("the store that the sidecars share does not answer: living tokens are served, renewals wait, and pushes are refused so that WeChat sends them again",
				"error", n.Err)
		}
		r.onNews(n)
		return
	}
	if away, back := r.coordination.found(r.clock.Local()); back {
		r.metrics.StoreUp(true)
		r.log.Info("the store that the sidecars share answers again", "away", away.Round(time.Millisecond))
		r.table.retryUnanswered()
	}
	if len(n.Changes) > 0 {
		r.coordination.heard(r.clock.Local())
	}
	if n.Emptied {
		notify(r.emptied)
	}
	if n.Missed {
		r.missed(ctx)
	}
	for _, c := range n.Changes {
		r.follow(ctx, c)
	}
	r.onNews(n)
}

// missed has all that is held compared with the store. At the start that is what is
// configured, and what is brought into use afterwards is news if it changes.
func (r *replicas) missed(ctx context.Context) {
	r.inbox.wakeUp()
	r.directory.changed()
	select {
	case <-r.began:
		notify(r.compare)
	default:
		if !r.catchUpAll(ctx) {
			notify(r.compare)
		}
		close(r.began)
	}
}

// awaitFirst waits until the first news was followed, or ctx ends. A sidecar that is alone
// waits for none.
func (r *replicas) awaitFirst(ctx context.Context) {
	if r.coordination == nil {
		return
	}
	select {
	case <-r.began:
	case <-ctx.Done():
	}
}

// loadInUse brings back what was in use when the last run ended. What other sidecars change
// from then on is news.
func (r *replicas) loadInUse(ctx context.Context) {
	r.awaitFirst(ctx)
	r.directory.loadInUse(ctx)
}

// follow has what is held follow one change.
func (r *replicas) follow(ctx context.Context, c store.Change) {
	kind, rest, _ := strings.Cut(c.Name, "/")
	switch kind + "/" {
	case inboxPrefix:
		r.inbox.follow(ctx, c)
	case platformPrefix:
		if one := r.components.get(rest); one != nil {
			one.catchUp(ctx)
		}
	default:
		if key, ok := keyNamed(c.Name); ok {
			r.followKey(ctx, key, c)
		}
	}
}

// followKey has a key follow the store, if it is in use. Which accounts there are may have
// changed where its record came or went, and which is the only one where it is not in use.
func (r *replicas) followKey(ctx context.Context, key Key, c store.Change) {
	if key.Kind == KindAuthorizer && (c.Came || c.Went) {
		r.directory.changed()
	}
	inUse, ok := r.catchUp(ctx, key)
	if !ok {
		notify(r.compare) // the news does not come again
	}
	if !inUse && key.Kind == KindAuthorizer {
		r.directory.forgetOnly()
	}
}

// catchUp has a key follow the store. It reports whether it is in use, and whether the store
// could be read.
func (r *replicas) catchUp(ctx context.Context, key Key) (inUse, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	before, after, err := r.ledger.catchUp(ctx, key)
	switch {
	case before == nil:
		return false, true
	case err != nil && !errors.Is(err, errUnsaved):
		return true, false
	case before.verdict != after.verdict:
		r.directory.changed()
	}
	return true, true
}

// compareAgain is after how long all is compared again where the store could not be read.
const compareAgain = time.Second

// compareWhenTold compares all that is held with the store each time that changes may have
// been missed, until ctx ends. A store that does not answer is told of once it does; but one
// read may fail of which there is no such news.
func (r *replicas) compareWhenTold(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.compare:
		}
		if r.catchUpAll(ctx) || r.coordination.down() != nil {
			continue
		}
		notify(r.compare)
		select {
		case <-ctx.Done():
		case <-time.After(compareAgain):
		}
	}
}

// catchUpAll compares all that is held with the store, and refills one that was emptied. It
// reports whether the store could be read.
func (r *replicas) catchUpAll(ctx context.Context) (ok bool) {
	ok = r.compareAll(ctx)
	select {
	case <-r.emptied:
		r.refill(ctx)
	default:
	}
	return ok
}

// comparedAtOnce is how many keys are compared with the store in one request.
const comparedAtOnce = 500

func (r *replicas) compareAll(ctx context.Context) (ok bool) {
	ok = true
	for _, c := range r.components.list() {
		c.catchUp(ctx)
	}
	keys := r.table.keys()
	for len(keys) > 0 && ctx.Err() == nil {
		some := keys[:min(len(keys), comparedAtOnce)]
		keys = keys[len(some):]
		differ, err := r.ledger.behind(ctx, some)
		if err != nil {
			return false
		}
		for _, key := range differ {
			_, read := r.catchUp(ctx, key)
			ok = ok && read
		}
	}
	return ok
}

// refill brings back what nobody holds in memory, as the store was emptied.
func (r *replicas) refill(ctx context.Context) {
	r.log.Error("the store that the sidecars share was emptied: what is held in memory was put back, and WeChat is asked for the rest")
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := r.ledger.open(ctx, r.config.Load().isOwn); err != nil {
		r.log.Error("the store that was emptied cannot be made anew", "error", err)
	}
	for _, c := range r.components.list() {
		c.relist(ctx)
	}
}
