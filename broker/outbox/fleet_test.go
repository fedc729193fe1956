package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

var errDead = errors.New("the process is dead")

// takeover is within what another sidecar delivers once one is dead.
const takeover = 25 * time.Second

// fleet is several sidecars with one store.
type fleet struct {
	t       *testing.T
	store   *memstore.Store
	opts    outbox.Options
	members []*member
}

// member is one of them.
type member struct {
	*outbox.Outbox
	view   *memstore.Shared
	cancel context.CancelFunc
	ended  chan struct{}
	// newsWait, if it is set, is called before each news is passed on.
	newsWait atomic.Pointer[func()]
	// beforePut and afterPut, if they are set, are called by each Put, whose error theirs is.
	beforePut, afterPut atomic.Pointer[func() error]
}

func hook(p *atomic.Pointer[func() error]) func([]store.Write) error {
	return func([]store.Write) error {
		if fn := p.Load(); fn != nil {
			return (*fn)()
		}
		return nil
	}
}

func newFleet(t *testing.T, targets ...outbox.Target) *fleet {
	t.Helper()
	f := &fleet{t: t, store: memstore.New(memstore.Options{}), opts: outbox.Options{Seal: keyring(t), Targets: targets}}
	t.Cleanup(f.stopAll)
	return f
}

func (f *fleet) stopAll() {
	for _, m := range f.members {
		m.stop()
	}
}

// start starts n more; the first of all delivers.
func (f *fleet) start(n int, levers ...memstore.Options) {
	f.t.Helper()
	for range n {
		m := &member{view: f.store.Shared(fmt.Sprint("sidecar ", len(f.members))), ended: make(chan struct{})}
		m.view.FailPut, m.view.LosePut = hook(&m.beforePut), hook(&m.afterPut)
		for _, l := range levers {
			m.view.Options = l
		}
		opts := f.opts
		opts.Store = m.view
		box, err := outbox.Open(f.t.Context(), opts)
		if err != nil {
			f.t.Fatal(err)
		}
		m.Outbox = box
		ctx, cancel := context.WithCancel(context.Background())
		m.cancel = cancel
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			m.view.Watch(ctx, func(n store.News) {
				if pause := m.newsWait.Load(); pause != nil {
					(*pause)()
				}
				m.Follow(n)
			})
		}()
		go func() { defer close(m.ended); m.Run(ctx); <-watched }()
		f.members = append(f.members, m)
		synctest.Wait()
	}
}

// stop ends a sidecar in order, and kill at this moment.
func (m *member) stop() { m.cancel(); <-m.ended }
func (m *member) kill() { m.view.Down(errDead); m.cancel() }

func (f *fleet) add(i int, merchant string, n int) {
	f.t.Helper()
	if err := f.members[i].Add(f.t.Context(), event(merchant, n)); err != nil {
		f.t.Fatal(err)
	}
}

// records returns the names of the events in the store.
func (f *fleet) records() []string {
	f.t.Helper()
	return slices.DeleteFunc(recordsOf(f.t, f.store), func(name string) bool { return name == "outbox/last" })
}

// mustAgree checks what the store has, and that each of the members says the same.
func (f *fleet) mustAgree(waiting, dead int, members ...int) {
	f.t.Helper()
	synctest.Wait()
	if n := len(f.records()); n != waiting+dead {
		f.t.Errorf("the store has %v, want %d records", f.records(), waiting+dead)
	}
	for _, i := range members {
		w, d, _ := f.members[i].Stats()
		if w != waiting || d != dead || len(f.members[i].DeadLetters()) != dead {
			f.t.Errorf("sidecar %d: %d events wait and %d are dead, want %d and %d", i, w, d, waiting, dead)
		}
	}
}

// ids returns the IDs of a merchant's events from first to last.
func ids(merchant string, first, last int) (want []string) {
	for n := first; n <= last; n++ {
		want = append(want, event(merchant, n).ID)
	}
	return want
}

// mustHaveFirst checks the first receipts, and that there were no more than extra further ones.
func (a *app) mustHaveFirst(t *testing.T, merchant string, extra int, want ...string) {
	t.Helper()
	got := a.receipts()
	if first := firsts(got, merchant); !slices.Equal(first, want) {
		t.Errorf("%s got %v, want first %v", a.name, got, want)
	}
	if n := len(got) - len(want); n > extra {
		t.Errorf("%s got %v, %d more than once, want %d at most", a.name, got, n, extra)
	}
}
