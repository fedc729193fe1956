package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

var errDown = errors.New("the app is down")

// app is a target. What it has got is in got, each attempt's time in tries.
type app struct {
	name  string
	wants func(*outbox.Event) bool // nil for all

	mu     sync.Mutex
	answer func(ctx context.Context, e *outbox.Event) error // nil for success
	got    []string
	tries  []time.Time
}

func (a *app) Name() string   { return a.name }
func (a *app) String() string { return a.name }

func (a *app) Wants(e *outbox.Event) bool { return a.wants == nil || a.wants(e) }

func (a *app) Deliver(ctx context.Context, e *outbox.Event) error {
	a.mu.Lock()
	answer := a.answer
	a.tries = append(a.tries, time.Now())
	a.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, e); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, e.ID)
	return nil
}

func (a *app) answerWith(answer func(context.Context, *outbox.Event) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// receipts returns the IDs of what the app has got.
func (a *app) receipts() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

func (a *app) attempts() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.tries)
}

func (a *app) mustHave(t *testing.T, want ...string) {
	t.Helper()
	if got := a.receipts(); !slices.Equal(got, want) {
		t.Errorf("%s got %v, want %v", a.name, got, want)
	}
}

func down(context.Context, *outbox.Event) error { return errDown }

// keyring returns the keys of all tests.
func keyring(t *testing.T) *seal.Keyring {
	t.Helper()
	keys, err := seal.New(make([]byte, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// rig is an outbox over a store in memory.
type rig struct {
	t     *testing.T
	store *memstore.Store
	opts  outbox.Options
	box   *outbox.Outbox
	stop  func()
}

func newRig(t *testing.T, levers memstore.Options, targets ...outbox.Target) *rig {
	t.Helper()
	r := &rig{t: t, store: memstore.New(levers), opts: outbox.Options{Seal: keyring(t), Targets: targets}}
	r.opts.Store = r.store
	return r
}

// start opens the outbox and runs it until stop.
func (r *rig) start() {
	r.t.Helper()
	r.open()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.box.Run(ctx) }()
	r.stop = func() { cancel(); <-ended }
}

func (r *rig) open() {
	r.t.Helper()
	box, err := outbox.Open(r.t.Context(), r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.box = box
}

// event returns the n-th event of a merchant.
func event(merchant string, n int) outbox.Event {
	return outbox.Event{
		ID: fmt.Sprintf("%s-%d", merchant, n), Component: "wx7f00c0de00000001", AppID: merchant, InfoType: "authorized",
		Text: secret.New("<xml><InfoType>authorized</InfoType></xml>"),
	}
}

func (r *rig) add(merchant string, n int) {
	r.t.Helper()
	if err := r.box.Add(r.t.Context(), event(merchant, n)); err != nil {
		r.t.Fatal(err)
	}
}

// records returns the names of what the store has.
func (r *rig) records() []string {
	r.t.Helper()
	return recordsOf(r.t, r.store)
}

func recordsOf(t *testing.T, s store.Store) []string {
	t.Helper()
	all, err := s.List(context.Background(), "", "", 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

func (r *rig) mustStats(waiting, dead int) {
	r.t.Helper()
	if w, d, _ := r.box.Stats(); w != waiting || d != dead {
		r.t.Errorf("%d events wait and %d are dead, want %d and %d", w, d, waiting, dead)
	}
	if n := len(r.records()); n != waiting+dead {
		r.t.Errorf("the store has %v, want %d records", r.records(), waiting+dead)
	}
}

// bubble runs fn in a bubble of its own, where time passes at once.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}
