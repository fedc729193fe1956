package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// announces returns who a view is and whom it is told of.
func announces(t *testing.T, v store.Shared) (self string, others map[string]store.Peer) {
	t.Helper()
	self, all, err := v.Announce(t.Context())
	if err != nil || self == "" {
		t.Fatalf("Announce: %q, %v", self, err)
	}
	others = map[string]store.Peer{}
	for _, p := range all {
		if p.Ago < 0 || p.Ago > long {
			t.Errorf("%s announced itself %s ago", p.Name, p.Ago)
		}
		others[p.Name] = p
	}
	if len(others) != len(all) || others[self].Name != "" {
		t.Errorf("%s is told of %v", self, all)
	}
	return self, others
}

// testPresence: each is told of the others, once, and nobody of itself; and who has a lease has
// the same name.
func testPresence(t *testing.T, views []store.Shared) {
	names := map[string]bool{}
	for round := range 2 {
		for i, v := range views {
			self, others := announces(t, v)
			names[self] = true
			if want := i + round*(len(views)-1-i); len(others) != want {
				t.Errorf("round %d, view %d is told of %v, want %d", round, i, others, want)
			}
		}
	}
	if len(names) != len(views) {
		t.Errorf("%d views have the names %v", len(views), names)
	}
	self, _ := announces(t, views[0])
	lockFor(t, views[0], "k", long)
	_, err := views[1].Lock(t.Context(), "k", store.LeaseOptions{For: long})
	if held := (&store.HeldError{}); !errors.As(err, &held) || held.By != self {
		t.Errorf("Lock: %v, held by %q, want %q", err, held.By, self)
	}
	lists(t, views[0], "", "", 10) // no record is made of it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := views[0].Announce(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
