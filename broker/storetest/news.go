package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// watcher collects what a view is told.
type watcher struct {
	t    *testing.T
	stop func() // and wait for the end of Watch

	mu   sync.Mutex
	news []store.News
	busy bool
}

// watch has a view watch, from after its first news until the test ends.
func watch(t *testing.T, v store.Shared, tell func(store.News)) *watcher {
	t.Helper()
	w := &watcher{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.Watch(ctx, func(n store.News) {
			w.take(n, true)
			if tell != nil {
				tell(n)
			}
			w.take(n, false)
		})
	}()
	w.stop = func() { cancel(); <-ended }
	t.Cleanup(w.stop)
	await(t, "the first news", func() bool { return len(w.all()) > 0 })
	return w
}

func (w *watcher) take(n store.News, begins bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if begins == w.busy {
		w.t.Error("tell was called while it ran")
	}
	w.busy = begins
	if begins {
		w.news = append(w.news, n)
	}
}

func (w *watcher) all() []store.News {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.news)
}

// changes returns those told so far, and fails for what a store that works must not tell.
func (w *watcher) changes() []store.Change {
	w.t.Helper()
	var changes []store.Change
	for i, n := range w.all() {
		if i > 0 && (n.Err != nil || n.Missed || n.Emptied) {
			w.t.Fatalf("a view of a store that works was told %+v", n)
		}
		changes = append(changes, n.Changes...)
	}
	return changes
}

// told waits for the last of the changes, and compares all that were told.
func (w *watcher) told(want ...store.Change) {
	w.t.Helper()
	last := want[len(want)-1]
	await(w.t, "news of "+last.Name, func() bool { return slices.Contains(w.changes(), last) })
	if diff := cmp.Diff(want, w.changes()); diff != "" {
		w.t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func testNewsBegins(t *testing.T, views []store.Shared) {
	put(t, views[0], set("before", none, "x"))
	w := watch(t, views[0], nil)
	if first := w.all()[0]; !first.Missed || first.Err != nil || first.Emptied {
		t.Errorf("the first news is %+v, want one of changes that may be missing", first)
	}
	w.stop()
}

func testNews(t *testing.T, views []store.Shared) {
	a, b, c := views[0], views[1], views[2]
	wa, wc := watch(t, a, nil), watch(t, c, nil)
	put(t, a, set("mine", none, "x"))
	put(t, b, set("k", none, "one"))
	wc.told(store.Change{Name: "mine", Came: true}, store.Change{Name: "k", Came: true})
	put(t, b, set("k", rec(1, "one"), "two"))
	put(t, b, amend("k", rec(2, "two"), "two, amended"))
	conflicts(t, b, set("k", rec(1, "one"), "too late")) // which is no change
	put(t, a, set("mine", rec(1, "x"), "y"))
	put(t, b, remove("k", rec(2, "two, amended")), set("last", none, "x"))
	// What changes of one name come close together may be told as one.
	await(t, "the last change", func() bool { return slices.Contains(wa.changes(), store.Change{Name: "last", Came: true}) })
	for _, change := range wa.changes() {
		if change.Name == "mine" {
			t.Errorf("a view was told its own change: %+v", change)
		}
	}
	if changes := wa.changes(); !slices.Contains(changes, store.Change{Name: "k", Went: true}) {
		t.Errorf("nothing told that the record went: %+v", changes)
	}
}

func testNewsInOrder(t *testing.T, views []store.Shared) {
	a, b, c := views[0], views[1], views[2]
	w := watch(t, c, nil)
	var want []store.Change
	for i := range 40 {
		name := fmt.Sprintf("k/%02d", (i*7)%40)
		put(t, []store.Shared{a, b}[i%2], set(name, none, "x"))
		want = append(want, store.Change{Name: name, Came: true})
	}
	w.told(want...)
}

// testNewsOfAll: a write of many records is told of each, in the writes' order.
func testNewsOfAll(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	w := watch(t, b, nil)
	var writes []store.Write
	var want []store.Change
	for i := range 300 {
		writes = append(writes, set(nameOf(i), none, "x"))
		want = append(want, store.Change{Name: nameOf(i), Came: true})
	}
	put(t, a, writes...)
	put(t, a, set("z", none, "x"))
	w.told(append(want, store.Change{Name: "z", Came: true})...)
}

// testTellUsesTheStore: what is told is in the store by then.
func testTellUsesTheStore(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	w := watch(t, b, func(n store.News) {
		for _, change := range n.Changes {
			holds(t, b, change.Name, rec(1, "x"))
			if err := b.Put(t.Context(), set("answer to "+change.Name, none, "x")); err != nil {
				t.Errorf("Put: %v", err)
			}
		}
	})
	put(t, a, set("k", none, "x"))
	put(t, a, set("l", none, "x"))
	w.told(store.Change{Name: "k", Came: true}, store.Change{Name: "l", Came: true})
	await(t, "what tell wrote", func() bool { _, err := a.Get(t.Context(), "answer to l"); return err == nil })
	w.stop() // tell may not have heard yet that its write is done
}
