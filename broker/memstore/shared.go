package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Shared is one sidecar's view of a [Store]. Use [Store.Shared]. It is safe for concurrent use,
// but its Options, which concern only this view, are set before it is used.
type Shared struct{ access }

var _ store.Shared = (*Shared)(nil)

// Shared returns a new view of the store, for a sidecar of that name. Views share records, leases
// and values. A sidecar that starts again gets another view, and then waits for the leases of
// its former one. In a bubble of testing/synctest the view is made inside.
func (s *Store) Shared(name string) *Shared {
	return &Shared{access{data: s.data, watch: &watch{name: name, missed: true, wake: make(chan struct{}, 1)}}}
}

// Down cuts the view off: its operations fail with an error that wraps err, and its Watch tells so.
// With nil they work again.
func (s *Shared) Down(err error) { s.watch.down(err) }

// Watch implements [store.Shared].
func (s *Shared) Watch(ctx context.Context, tell func(store.News)) {
	s.data.addWatch(s.watch)
	defer s.data.removeWatch(s.watch)
	for ctx.Err() == nil {
		if news, ok := s.watch.next(); ok {
			tell(news)
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.watch.wake:
		}
	}
}

func (d *data) addWatch(w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watches = append(d.watches, w)
}

func (d *data) removeWatch(w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watches = slices.DeleteFunc(d.watches, func(other *watch) bool { return other == w })
}

// watch is what a view is to be told.
type watch struct {
	name string        // of the sidecar
	wake chan struct{} // capacity 1, for Watch

	mu     sync.Mutex // taken under data.mu as well; no other is taken under it
	err    error      // why the view is cut off; nil if it is not
	told   bool       // that it is
	missed bool
	empty  bool
	news   []store.Change
}

// next returns what is to be told now, if anything is.
func (w *watch) next() (store.News, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		first := !w.told
		w.told = true
		return store.News{Err: w.err}, first
	}
	news := store.News{Missed: w.missed, Emptied: w.empty, Changes: w.news}
	some := w.missed || len(w.news) > 0
	w.told, w.missed, w.empty, w.news = false, false, false, nil
	return news, some
}

func (w *watch) changed(changes []store.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.missed { // all is compared anyway
		w.news = append(w.news, changes...)
	}
	w.wakeUp()
}

func (w *watch) emptied() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed, w.empty, w.news = true, true, nil
	w.wakeUp()
}

func (w *watch) down(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("the store does not answer %s: %w", w.name, err)
		w.missed, w.news = true, nil
	}
	w.err = err
	w.wakeUp()
}

// cutOff returns why the view is cut off, or nil. The store itself, whose watch is nil, never is.
func (w *watch) cutOff() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watch) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
