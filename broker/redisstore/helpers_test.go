package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// patience bounds every wait.
const patience = 30 * time.Second

// watched is what a store tells.
type watched struct {
	t *testing.T

	mu   sync.Mutex
	news []store.News
}

// watch has a store watched until the test ends, from after its first news.
func watch(t *testing.T, s store.Shared) *watched {
	t.Helper()
	w := &watched{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Watch(ctx, w.take) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	w.tells("the first news", func(n store.News) bool { return n.Missed })
	w.forget()
	return w
}

func (w *watched) take(n store.News) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.news = append(w.news, n)
}

// forget leaves what was told so far out of account.
func (w *watched) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.news = nil
}

func (w *watched) all() []store.News {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.news)
}

func (w *watched) count(is func(store.News) bool) int {
	n := 0
	for _, news := range w.all() {
		if is(news) {
			n++
		}
	}
	return n
}

func (w *watched) tells(what string, is func(store.News) bool) {
	w.t.Helper()
	redistest.Await(w.t, patience, what, func() (bool, any) { return w.count(is) > 0, w.all() })
}

func failed(n store.News) bool  { return n.Err != nil }
func missed(n store.News) bool  { return n.Missed }
func emptied(n store.News) bool { return n.Emptied }

// came tells of a record.
func came(name string) func(store.News) bool {
	return func(n store.News) bool {
		for _, c := range n.Changes {
			if c.Name == name && c.Came {
				return true
			}
		}
		return false
	}
}

// first is a write of a record that there is not yet.
func first(name, content string) store.Write {
	return store.Write{Name: name, Record: store.Record{Generation: 1, Sealed: []byte(content)}}
}

// next is a write over a record.
func next(name string, base store.Record, content string) store.Write {
	return store.Write{Name: name, Base: base.Version(), Record: store.Record{Generation: base.Generation + 1, Sealed: []byte(content)}}
}

func put(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	if err := s.Put(t.Context(), writes...); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// keeps writes until the store takes it, as the broker does.
func keeps(t *testing.T, s store.Store, w store.Write) {
	t.Helper()
	redistest.Await(t, patience, "the store takes "+w.Name, func() (bool, any) {
		err := s.Put(t.Context(), w)
		if errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
		return err == nil, err
	})
}

func holds(t *testing.T, s store.Store, w store.Write) {
	t.Helper()
	got, err := s.Get(t.Context(), w.Name)
	if err != nil || got.Version() != w.Record.Version() {
		t.Errorf("Get %s: generation %d, %q, %v; want generation %d, %q", w.Name, got.Generation, got.Sealed, err, w.Record.Generation, w.Record.Sealed)
	}
}

// flows writes until three changes in a row are told within a second each: by pushes, as the
// stream is read without them each 15 seconds only. What comes while an outage ends is told as
// missed.
func flows(t *testing.T, s store.Store, w *watched, name string) {
	t.Helper()
	wanted, n, inARow := "", 0, 0
	var written time.Time
	redistest.Await(t, patience, "three changes are told within a second each", func() (bool, any) {
		told := wanted != "" && w.count(came(wanted)) > 0
		late := wanted != "" && time.Since(written) > time.Second
		switch {
		case told:
			inARow++
		case late:
			inARow = 0
		case wanted != "":
			return false, inARow
		}
		n++
		wanted = fmt.Sprintf("%s/%d", name, n)
		keeps(t, s, first(wanted, "x"))
		written = time.Now()
		return inARow == 3, inARow
	})
}
