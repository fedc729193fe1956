package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// meddled is a store in which others write between our reading and writing, or which breaks off.
type meddled struct {
	store.Store
	before func(puts int) error
	puts   int
}

func (m *meddled) Put(ctx context.Context, writes ...store.Write) error {
	m.puts++
	if m.before != nil {
		if err := m.before(m.puts); err != nil {
			return err
		}
	}
	return m.Store.Put(ctx, writes...)
}

func importKeys(t *testing.T, digit string) *seal.Keyring {
	t.Helper()
	ring, err := seal.New([]byte(strings.Repeat(digit, seal.KeySize)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newTestImporter(t *testing.T, s store.Store, keys *seal.Keyring) *Importer {
	t.Helper()
	m, err := NewImporter(t.Context(), ImportOptions{Store: s, Seal: keys, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// someItems are n merchants' refresh tokens and a ticket of each of two components.
func someItems(n int) []ImportItem {
	items := []ImportItem{{Component: "wxc1", Value: secret.New("ticket1"), At: noon}, {Component: "wxc2", Value: secret.New("ticket2")}}
	for i := range n {
		items = append(items, ImportItem{Component: "wxc1", AppID: fmt.Sprintf("wxa%03d", i), Value: secret.New(fmt.Sprintf("refresh%d", i))})
	}
	return items
}

func wantResults(t *testing.T, what string, got []ImportResult, err error, want map[ImportResult]int) {
	t.Helper()
	counts := map[ImportResult]int{}
	for _, r := range got {
		counts[r]++
	}
	if diff := cmp.Diff(want, counts); diff != "" || err != nil {
		t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
	}
}

func names(t *testing.T, s store.Store) (names []string) {
	t.Helper()
	all, err := s.List(t.Context(), "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

func TestImporter(t *testing.T) {
	t.Parallel()
	s, keys := memstore.New(memstore.Options{}), importKeys(t, "1")
	m, items := newTestImporter(t, s, keys), someItems(250)
	got, err := m.Import(t.Context(), items, false)
	wantResults(t, "a dry run", got, err, map[ImportResult]int{ImportNew: 252})
	if left := names(t, s); len(left) > 0 {
		t.Errorf("a dry run wrote %v", left)
	}
	got, err = m.Import(t.Context(), items, true)
	wantResults(t, "the first time", got, err, map[ImportResult]int{ImportNew: 252})
	if n := len(names(t, s)); n != 253 { // and the canary
		t.Errorf("%d records", n)
	}
	got, err = newTestImporter(t, s, keys).Import(t.Context(), items, true)
	wantResults(t, "the second time", got, err, map[ImportResult]int{ImportHeld: 252})
	rec, _, err := m.ledger.load(t.Context(), authorizerKey("wxc1", "wxa123"))
	if err != nil || rec.refreshToken.Reveal() != "refresh123" || rec.generation != 1 {
		t.Errorf("%+v, %v", rec, err)
	}
	if ticket, ok := m.Ticket(t.Context(), "wxc1"); !ok || ticket.Reveal() != "ticket1" {
		t.Error("no ticket")
	}
	if _, ok := m.ComponentToken(t.Context(), "wxc1"); ok {
		t.Error("a token from nowhere")
	}
	if _, err := NewImporter(t.Context(), ImportOptions{Store: s, Seal: importKeys(t, "2")}); err == nil {
		t.Error("another key does")
	}
}

// Twice the same merchant: the later one counts, and neither is lost.
func TestImporter_TwiceTheSame(t *testing.T) {
	t.Parallel()
	m := newTestImporter(t, memstore.New(memstore.Options{}), importKeys(t, "1"))
	one := ImportItem{Component: "wxc1", AppID: "wxa", Value: secret.New("one")}
	two := one
	two.Value = secret.New("two")
	got, err := m.Import(t.Context(), []ImportItem{one, two, one}, true)
	if diff := cmp.Diff([]ImportResult{ImportKept, ImportNew, ImportHeld}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	rec, _, err := m.ledger.load(t.Context(), authorizerKey("wxc1", "wxa"))
	if err != nil || rec.refreshToken.Reveal() != "two" || rec.spare.Reveal() != "one" {
		t.Errorf("%+v, %v", rec, err)
	}
}

// Broken off anywhere, it goes on where it was.
func TestImporter_BrokenOff(t *testing.T) {
	t.Parallel()
	items, broken := someItems(250), errors.New("broken off")
	for stop := 1; stop <= 4; stop++ {
		s, keys := memstore.New(memstore.Options{}), importKeys(t, "1")
		m := newTestImporter(t, &meddled{Store: s, before: func(puts int) error {
			if puts >= stop {
				return broken
			}
			return nil
		}}, keys)
		if _, err := m.Import(t.Context(), items, true); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		got, err := newTestImporter(t, s, keys).Import(t.Context(), items, true)
		there := max(0, stop-2) * importedAtOnce
		want := map[ImportResult]int{ImportNew: 252 - there}
		if there > 0 {
			want[ImportHeld] = there
		}
		wantResults(t, fmt.Sprintf("stopped before write %d", stop), got, err, want)
		if n := len(names(t, s)); n != 253 {
			t.Errorf("stopped before write %d: %d records", stop, n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := memstore.New(memstore.Options{})
	if _, err := newTestImporter(t, s, importKeys(t, "1")).Import(ctx, items, true); !errors.Is(err, context.Canceled) || len(names(t, s)) > 0 {
		t.Errorf("%v", err)
	}
}

// A sidecar that renews at the same moment has the last word.
func TestImporter_SidecarIsFaster(t *testing.T) {
	t.Parallel()
	s, keys := memstore.New(memstore.Options{}), importKeys(t, "1")
	key := authorizerKey("wxc1", "wxa001")
	other := newTestImporter(t, s, keys)
	m := newTestImporter(t, &meddled{Store: s, before: func(puts int) error {
		if puts != 2 { // the first is the canary's
			return nil
		}
		rec := &record{generation: 1, token: secret.New("token"), refreshToken: secret.New("WeChat's"), obtained: noon, dies: noon.Add(2 * time.Hour)}
		c, err := recordChange(key, store.Version{}, rec)
		return errors.Join(err, other.ledger.write(t.Context(), c))
	}}, keys)
	got, err := m.Import(t.Context(), someItems(3), true)
	wantResults(t, "a sidecar wrote between", got, err, map[ImportResult]int{ImportNew: 4, ImportKept: 1})
	rec, _, err := m.ledger.load(t.Context(), key)
	if err != nil || rec.refreshToken.Reveal() != "WeChat's" || rec.spare.Reveal() != "refresh1" || rec.token.IsZero() {
		t.Errorf("%+v, %v", rec, err)
	}
}

// A store of an earlier version has other names: an import beside them would be found by nobody.
func TestImporter_EarlierVersion(t *testing.T) {
	t.Parallel()
	s, keys := memstore.New(memstore.Options{}), importKeys(t, "1")
	c := store.Write{Name: canaryName, Record: store.Record{Generation: 1, Sealed: keys.Seal(canaryName, 1, []byte("wxsidecar"))}}
	if err := s.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := NewImporter(t.Context(), ImportOptions{Store: s, Seal: keys}); err == nil || !strings.Contains(err.Error(), "start serve on it once") {
		t.Errorf("%v", err)
	}
}

// Of several refresh tokens of a merchant the newest counts, whatever their order, and one for
// which there is no room is named: nobody takes it for stored.
func TestImporter_SeveralOfOneMerchant(t *testing.T) {
	t.Parallel()
	at := func(value string, at time.Time) ImportItem {
		return ImportItem{Component: "wxc", AppID: "wxa", Value: secret.New(value), At: at}
	}
	f := func(items []ImportItem, force, spare string, want ...ImportResult) {
		t.Helper()
		m := newTestImporter(t, memstore.New(memstore.Options{}), importKeys(t, "k"))
		results, err := m.Import(t.Context(), items, true)
		rec, _, loaded := m.ledger.load(t.Context(), authorizerKey("wxc", "wxa"))
		if diff := cmp.Diff(want, results); diff != "" || err != nil || loaded != nil || rec.refreshToken.Reveal() != force || rec.spare.Reveal() != spare {
			t.Errorf("%v, %v, %q and %q, want %q and %q (-want +got):\n%s", err, loaded, rec.refreshToken.Reveal(), rec.spare.Reveal(), force, spare, diff)
		}
		if rec.authorized.After(noon) {
			t.Errorf("authorized %s", rec.authorized)
		}
		_, err = m.Import(t.Context(), items, true)
		if again, _, loaded := m.ledger.load(t.Context(), authorizerKey("wxc", "wxa")); err != nil || loaded != nil || again.generation != rec.generation {
			t.Errorf("the same again: %v, %v, generation %d after %d", err, loaded, again.generation, rec.generation)
		}
	}
	old, new := noon.Add(-2*time.Hour), noon.Add(-time.Hour)
	f([]ImportItem{at("b", new), at("a", old)}, "b", "a", ImportNew, ImportKept)
	f([]ImportItem{at("b", new), at("a", old), at("x", time.Time{})}, "b", "a", ImportNew, ImportKept, ImportDropped)
	f([]ImportItem{at("x", time.Time{}), at("y", time.Time{}), at("z", time.Time{})}, "z", "y", ImportDropped, ImportKept, ImportNew)
	f([]ImportItem{at("x", time.Time{}), at("x", time.Time{})}, "x", "", ImportNew, ImportHeld)
	// A time that has not come says nothing, and must not hide that the merchant authorises anew.
	f([]ImportItem{at("f", noon.Add(24*time.Hour)), at("a", old)}, "a", "f", ImportKept, ImportNew)
}
