package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/rekey"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/proxy/mitm"
)

// newSharedCA returns the keeper of a replica on records, and its log.
func newSharedCA(t *testing.T, records store.Store) (sharedCA, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	return sharedCA{
		records: records, keys: keyring(t, 1),
		now: caClock,
		log: slog.New(slog.NewTextHandler(&log, nil)),
	}, &log
}

// Replicas that start at once, each of which has seen that there is no CA, have one.
func TestSharedCA_ReplicasAgree(t *testing.T) {
	t.Parallel()
	const replicas = 8
	var looked sync.WaitGroup
	looked.Add(replicas)
	records := memstore.New(memstore.Options{FailPut: func(writes []store.Write) error {
		if writes[0].Base == (store.Version{}) {
			looked.Done()
			looked.Wait()
		}
		return nil
	}})
	got := make([][]byte, replicas)
	var all sync.WaitGroup
	for i := range got {
		k, _ := newSharedCA(t, records)
		all.Go(func() {
			var err error
			if got[i], err = k.get(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range got {
		if !bytes.Equal(got[i], got[0]) {
			t.Errorf("replica %d has another CA than the first", i)
		}
	}
	if rec, err := records.Get(t.Context(), caRecord); err != nil || rec.Generation != 1 {
		t.Errorf("generation %d, %v: want one write", rec.Generation, err)
	}
}

// Half a life later replicas that start at once have one certificate as well, for the same key.
func TestSharedCA_Renews(t *testing.T) {
	t.Parallel()
	records := memstore.New(memstore.Options{})
	first, _ := newSharedCA(t, records)
	before := mustGetCA(t, first)
	second, _ := newSharedCA(t, records)
	first.now = func() time.Time { return time.Date(2032, 11, 24, 5, 43, 0, 0, time.UTC) }
	second.now = first.now
	after := mustGetCA(t, first)
	if bytes.Equal(before, after) || !bytes.Equal(after, mustGetCA(t, second)) {
		t.Error("want another certificate, the same for both")
	}
}

// The CA of a local store goes on in the shared one, unless that has one.
func TestSharedCA_TakesOverTheFile(t *testing.T) {
	t.Parallel()
	records := memstore.New(memstore.Options{})
	k, log := newSharedCA(t, records)
	k.beside = &seal.File{Path: filepath.Join(t.TempDir(), caSealedName), Keys: k.keys}
	want, err := mitm.Create(k.now())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.beside.Save(want); err != nil {
		t.Fatal(err)
	}
	other, _ := newSharedCA(t, records)
	if got := mustGetCA(t, k); !bytes.Equal(got, want) || !bytes.Equal(mustGetCA(t, other), want) {
		t.Error("it is another CA")
	}
	newer, err := mitm.Create(k.now())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.beside.Save(newer); err != nil {
		t.Fatal(err)
	}
	if got := mustGetCA(t, k); !bytes.Equal(got, want) {
		t.Error("the file beat the store")
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", log)
	}
}

// damageCA flips a bit of the CA in the store, and returns what was written.
func damageCA(t *testing.T, records store.Store) []byte {
	t.Helper()
	rec, err := records.Get(t.Context(), caRecord)
	if err != nil {
		t.Fatal(err)
	}
	base := rec.Version()
	rec.Sealed[len(rec.Sealed)/2] ^= 1
	if err := records.Put(t.Context(), store.Write{Name: caRecord, Base: base, Record: rec}); err != nil {
		t.Fatal(err)
	}
	return rec.Sealed
}

// One that does not open is moved aside, to the one place for it, and made anew; both records
// can be sealed anew later.
func TestSharedCA_Damaged(t *testing.T) {
	t.Parallel()
	records := memstore.New(memstore.Options{})
	k, log := newSharedCA(t, records)
	other, _ := newSharedCA(t, records)
	lost := mustGetCA(t, k)
	for range 2 {
		damaged := damageCA(t, records)
		fresh := mustGetCA(t, k)
		if bytes.Equal(fresh, lost) || !bytes.Equal(fresh, mustGetCA(t, other)) {
			t.Error("want a new CA, the same for both")
		}
		lost = fresh
		rec, err := records.Get(t.Context(), caDamagedRecord)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := k.keys.Open(caDamagedRecord, rec.Generation, rec.Sealed); err != nil || !bytes.Equal(kept, damaged) {
			t.Errorf("what was damaged is not kept: %v", err)
		}
	}
	if n := strings.Count(log.String(), "does not open and was moved aside"); n != 2 {
		t.Errorf("told %d times, want 2: %s", n, log)
	}
	both, err := seal.New(bytes.Repeat([]byte{2}, seal.KeySize), bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if result, err := rekey.Run(t.Context(), records, both); err != nil || result.Resealed != 2 {
		t.Errorf("sealed anew: %+v, %v", result, err)
	}
	k.keys = keyring(t, 2)
	if got := mustGetCA(t, k); !bytes.Equal(got, lost) {
		t.Error("another CA after rekey")
	}
}

// A replica whose key is not the one of the others displaces nothing.
func TestSharedCA_WrongKey(t *testing.T) {
	t.Parallel()
	records := memstore.New(memstore.Options{})
	k, _ := newSharedCA(t, records)
	want := mustGetCA(t, k)
	late, _ := newSharedCA(t, records)
	late.keys = keyring(t, 2)
	if _, err := late.get(t.Context()); !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "seal.previous_key_file") {
		t.Errorf("got %v", err)
	}
	if got := mustGetCA(t, k); !bytes.Equal(got, want) {
		t.Error("it was displaced")
	}
}

// A store that does not answer is no reason to make a CA that nobody else has.
func TestSharedCA_StoreAway(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	records := memstore.New(memstore.Options{FailPut: func([]store.Write) error { return away }})
	k, _ := newSharedCA(t, records)
	if pem, err := k.get(t.Context()); pem != nil || !errors.Is(err, away) {
		t.Errorf("%q, %v", pem, err)
	}
	records = memstore.New(memstore.Options{Wait: func(context.Context) error { return away }})
	k.records = records
	if pem, err := k.get(t.Context()); pem != nil || !errors.Is(err, away) {
		t.Errorf("%q, %v", pem, err)
	}
}

// Replicas that run put their CA back into a store that was emptied, so that one which starts
// later gives certificates of the same. None replaces one that is there.
func TestSharedCA_Emptied(t *testing.T) {
	records := memstore.New(memstore.Options{})
	first, _ := newSharedCA(t, records.Shared("first"))
	pem := mustGetCA(t, first)
	records.Empty()
	first.restore(t.Context(), pem)
	late, _ := newSharedCA(t, records.Shared("late"))
	if got := mustGetCA(t, late); !bytes.Equal(got, pem) {
		t.Error("a replica that starts after the store was emptied has another CA")
	}
	before, err := records.Get(t.Context(), caRecord)
	if err != nil {
		t.Fatal(err)
	}
	late.restore(t.Context(), []byte("another"))
	if after, err := records.Get(t.Context(), caRecord); err != nil || after.Version() != before.Version() {
		t.Errorf("a CA that was there was replaced: %v", err)
	}
}
