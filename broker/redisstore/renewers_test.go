package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// renewers are sidecars that renew one record all the time, each by a view of its own.
type renewers struct {
	t      *testing.T
	all    []*renewer
	paused atomic.Bool // they read and repair, and do not renew

	mu     sync.Mutex
	acked  map[[2]uint64]string // generation and fence: the content that was acknowledged
	owner  map[uint64]int       // fence: who committed under it
	newest store.Record         // of all that was acknowledged
}

// renewer is one of them. It keeps in memory what a sidecar keeps.
type renewer struct {
	among *renewers
	id    int
	view  store.Shared

	known   store.Record // the latest that was acknowledged or read
	unsaved *store.Write
	ours    bool // that unsaved was obtained here, and is no repair

	mu    sync.Mutex
	won   int          // acknowledged commits
	shown store.Record // known, for others
	last  error
}

const renewed = "authorizer/renewed"

// startRenewers has renewers work until the test ends.
func startRenewers(t *testing.T, views ...store.Shared) *renewers {
	rs := &renewers{t: t, acked: map[[2]uint64]string{}, owner: map[uint64]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, v := range views {
		r := &renewer{among: rs, id: i, view: v}
		rs.all = append(rs.all, r)
		wg.Go(func() { r.run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return rs
}

func (r *renewer) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		err := r.turn(ctx, n)
		r.mu.Lock()
		r.last, r.shown = err, r.known
		r.mu.Unlock()
		pause := time.NewTimer(time.Duration(1+r.id) * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// turn writes what is unsaved, reads, and renews if the lease is to be had.
func (r *renewer) turn(ctx context.Context, n int) error {
	if err := r.save(ctx); err != nil {
		return err
	}
	if repair, err := r.read(ctx); repair || err != nil || r.among.paused.Load() {
		return err
	}
	lease, err := r.view.Lock(ctx, renewed, store.LeaseOptions{For: 2 * time.Second, Fence: r.known.Fence, Generation: r.known.Generation})
	if held := (*store.HeldError)(nil); errors.As(err, &held) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lease.Unlock()
	if repair, err := r.read(ctx); repair || err != nil {
		return err
	}
	content := fmt.Appendf(nil, "sidecar %d, token %d", r.id, n)
	r.unsaved, r.ours = &store.Write{
		Name: renewed, Base: r.known.Version(),
		Record: store.Record{Generation: r.known.Generation + 1, Fence: lease.Fence(), Sealed: content},
	}, true
	return r.save(ctx)
}

// read takes over what is newer than known. It reports true if what is stored is older: then that
// is to be repaired.
func (r *renewer) read(ctx context.Context) (repair bool, err error) {
	got, err := r.view.Get(ctx, renewed)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if later(r.known, got) {
		r.unsaved, r.ours = &store.Write{Name: renewed, Base: got.Version(), Record: r.known}, false
		return true, nil
	}
	r.known = got
	return false, nil
}

func later(a, b store.Record) bool {
	return a.Generation > b.Generation || a.Generation == b.Generation && a.Fence > b.Fence
}

// save writes what is unsaved, the same again until there is an answer.
func (r *renewer) save(ctx context.Context) error {
	if r.unsaved == nil {
		return nil
	}
	err := r.view.Put(ctx, *r.unsaved)
	if errors.Is(err, store.ErrConflict) {
		r.unsaved = nil
		return nil
	}
	if err != nil {
		return err
	}
	w := *r.unsaved
	r.known, r.unsaved = w.Record, nil
	r.among.acknowledged(r.id, w.Record, r.ours)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.won++
	return nil
}

// acknowledged holds a commit against those before.
func (rs *renewers) acknowledged(id int, r store.Record, ours bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	place := [2]uint64{r.Generation, r.Fence}
	if other, ok := rs.acked[place]; ok && other != string(r.Sealed) {
		rs.t.Errorf("generation %d under fence %d was acknowledged as %q and as %q", r.Generation, r.Fence, other, r.Sealed)
	}
	rs.acked[place] = string(r.Sealed)
	if later(r, rs.newest) {
		rs.newest = r
	}
	if !ours {
		return
	}
	if other, ok := rs.owner[r.Fence]; ok && other != id {
		rs.t.Errorf("sidecars %d and %d committed under fence %d", other, id, r.Fence)
	}
	rs.owner[r.Fence] = id
}

func (r *renewer) now() (won int, known store.Record, last error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.won, r.shown, r.last
}

// goOn returns once all of them work without having started again: first they agree on a record,
// which is not older than any that was acknowledged, and then they renew it.
func (rs *renewers) goOn(what string) {
	rs.t.Helper()
	rs.paused.Store(true)
	redistest.Await(rs.t, patience, "after "+what+": agreement on what was acknowledged", func() (bool, any) {
		_, first, _ := rs.all[0].now()
		agree, err := !later(rs.newestAcked(), first), error(nil)
		for _, r := range rs.all {
			_, known, failing := r.now()
			agree = agree && known.Version() == first.Version()
			err = errors.Join(err, failing)
		}
		return agree && err == nil, err
	})
	before := rs.commits()
	rs.paused.Store(false)
	redistest.Await(rs.t, patience, "after "+what+": more commits", func() (bool, any) { return rs.commits() >= before+2*len(rs.all), rs.commits() - before })
}

func (rs *renewers) newestAcked() store.Record {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.newest
}

func (rs *renewers) commits() (n int) {
	for _, r := range rs.all {
		won, _, _ := r.now()
		n += won
	}
	return n
}

// fail returns once one of them fails: the fault is there.
func (rs *renewers) fail(what string) {
	rs.t.Helper()
	redistest.Await(rs.t, patience, "after "+what+": somebody notices", func() (bool, any) {
		for _, r := range rs.all {
			if _, _, err := r.now(); err != nil {
				return true, nil
			}
		}
		return false, nil
	})
}
