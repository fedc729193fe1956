package storetest

import (
	"bytes"
	"errors"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Who has the lease, beside the view of a sidecar.
const (
	nobody  = -1
	unknown = -2 // until the lease ends
)

// truth is what happened since the store lost something.
type truth struct {
	stored store.Record      // at the last look; zero for none
	acked  store.Record      // the latest that was acknowledged
	tokens map[uint64]string // generation: the token of which a renewal was acknowledged
	holder int               // view
	fence  uint64            // of the holder
	fences map[uint64]int    // all that were given: to which view; perhaps before that too
	losing bool              // the next look may see less
	losses int               // how often the store has lost something
}

// lost says that the store has lost something. Leases may have come back.
func (tr *truth) lost(leases, keepFences bool) {
	fences := tr.fences
	if !keepFences {
		fences = map[uint64]int{}
	}
	*tr = truth{tokens: map[uint64]string{}, fences: fences, holder: nobody, losing: true, losses: tr.losses + 1}
	if leases {
		tr.holder = unknown
	}
}

func (tr *truth) is(t *trial, got store.Record) {
	t.Helper()
	if later(tr.stored, got) && !tr.losing {
		t.Fatalf("%s was replaced by %s", show(tr.stored), show(got))
	}
	if later(tr.acked, got) {
		t.Fatalf("%s was acknowledged, and %s is stored", show(tr.acked), show(got))
	}
	if !later(got, tr.acked) && tokenOf(got) != tokenOf(tr.acked) {
		t.Fatalf("%s was acknowledged, and its token became that of %s", show(tr.acked), show(got))
	}
	if tr.losing {
		tr.acked = got // what was not lost
	}
	tr.stored, tr.losing = got, false
}

// tokenOf returns what no amendment changes.
func tokenOf(r store.Record) string {
	token, _, _ := strings.Cut(string(r.Sealed), ",")
	return token
}

// put judges the answer to a write, after which the store was looked at.
func (tr *truth) put(t *trial, w unsaved, before store.Record, err error) {
	t.Helper()
	same := before.Generation == w.Record.Generation && bytes.Equal(before.Sealed, w.Record.Sealed)
	fits := before.Version() == w.Base
	switch {
	case err == nil && !fits && !same:
		t.Fatalf("%s was acknowledged over %s, and made from another", show(w.Record), show(before))
	case err == nil && show(tr.stored) != show(w.Record):
		t.Fatalf("%s was acknowledged, and %s is stored", show(w.Record), show(tr.stored))
	case err == nil:
		tr.acked = w.Record
		token := tokenOf(w.Record)
		// What was obtained before a loss may be written after it, where its generation is free.
		if other := tr.tokens[w.Record.Generation]; w.renewal == tr.losses && other != "" && other != token {
			t.Fatalf("%s was acknowledged, and %s in that generation too", show(w.Record), other)
		}
		if w.renewal == tr.losses {
			tr.tokens[w.Record.Generation] = token
		}
	case errors.Is(err, store.ErrConflict) && fits:
		t.Fatalf("%s was refused over %s, from which it was made", show(w.Record), show(before))
	case errors.Is(err, store.ErrConflict) && show(tr.stored) != show(before):
		t.Fatalf("a write was refused, and %s became %s", show(before), show(tr.stored))
	}
}

// locked judges a lease that a view got.
func (tr *truth) locked(t *trial, view int, o store.LeaseOptions, fence uint64) {
	t.Helper()
	if tr.holder >= 0 && tr.holder != view {
		t.Fatalf("view %d has the lease, and view %d got it", tr.holder, view)
	}
	if o.Generation != 0 && tr.stored.Generation > o.Generation {
		t.Fatalf("a lease to one who knows generation %d, and %s is stored", o.Generation, show(tr.stored))
	}
	again := tr.holder == view && tr.fence == fence || tr.holder == unknown
	if to, given := tr.fences[fence]; given && (!again || to != view) {
		t.Fatalf("fence %d was given to view %d and to view %d", fence, to, view)
	}
	if !again && (fence <= o.Fence || fence <= tr.stored.Fence) {
		t.Fatalf("fence %d to one who has seen %d, over %s", fence, o.Fence, show(tr.stored))
	}
	tr.fences[fence], tr.holder, tr.fence = view, view, fence
}

// notLocked judges why a view got no lease.
func (tr *truth) notLocked(t *trial, view int, o store.LeaseOptions, err error) {
	t.Helper()
	var held *store.HeldError
	switch {
	case errors.As(err, &held) && (tr.holder == nobody || tr.holder == view):
		t.Fatalf("view %d got no lease: %v; %d has it", view, err, tr.holder)
	case errors.Is(err, store.ErrConflict) && (o.Generation == 0 || tr.stored.Generation <= o.Generation):
		t.Fatalf("no lease to one who knows generation %d, and %s is stored", o.Generation, show(tr.stored))
	}
}

// extended judges the answer to one who extends a lease.
func (tr *truth) extended(t *trial, view int, fence uint64, err error) {
	t.Helper()
	has := tr.holder == view && tr.fence == fence
	switch {
	case err == nil && tr.holder >= 0 && !has:
		t.Fatalf("view %d extended the lease of fence %d, and view %d has it", view, fence, tr.holder)
	case err == nil:
		tr.holder, tr.fence = view, fence
	case errors.Is(err, store.ErrLost) && has:
		t.Fatalf("view %d lost the lease of fence %d, and has it", view, fence)
	}
}

// unlocked says that a view gave its lease back, as far as it knows.
func (tr *truth) unlocked(view int, fence uint64, perhaps bool) {
	if tr.holder != view || tr.fence != fence {
		return
	}
	if tr.holder = nobody; perhaps {
		tr.holder = unknown
	}
}
