package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/rekey"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/proxy/mitm"
)

func keyring(t *testing.T, b byte) *seal.Keyring {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{b}, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// caClock is the clock of keepers.
func caClock() time.Time { return time.Date(2026, 11, 24, 5, 43, 0, 0, time.UTC) }

// newCAKeeper returns a keeper whose file is not there yet, and its log.
func newCAKeeper(t *testing.T) (caKeeper, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	return caKeeper{
		file:    &seal.File{Path: filepath.Join(t.TempDir(), caSealedName), Keys: keyring(t, 1)},
		records: memstore.New(memstore.Options{}),
		now:     caClock,
		log:     slog.New(slog.NewTextHandler(&log, nil)),
	}, &log
}

// caGetter is a keeper of either sort.
type caGetter interface {
	get(ctx context.Context) ([]byte, error)
}

func mustGetCA(t *testing.T, k caGetter) []byte {
	t.Helper()
	pem, err := k.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pem
}

// putCA puts a CA into the store, as earlier versions did, sealed with keys.
func putCA(t *testing.T, k caKeeper, keys *seal.Keyring) []byte {
	t.Helper()
	pem, err := mitm.Create(k.now())
	if err != nil {
		t.Fatal(err)
	}
	write := store.Write{Name: caRecord, Record: store.Record{Generation: 3, Sealed: keys.Seal(caRecord, 3, pem)}}
	if err := k.records.Put(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	return pem
}

func recordGone(t *testing.T, k caKeeper) {
	t.Helper()
	if _, err := k.records.Get(t.Context(), caRecord); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the record is still there: %v", err)
	}
}

// The CA of an earlier version's store goes on in the file, and the record goes.
func TestCAKeeper_TakesOverTheRecord(t *testing.T) {
	k, log := newCAKeeper(t)
	want := putCA(t, k, k.file.Keys)
	for range 2 {
		if got := mustGetCA(t, k); !bytes.Equal(got, want) {
			t.Error("it is another CA")
		}
		recordGone(t, k)
	}
	// A record beside the file: the last start died before it could delete it.
	putCA(t, k, k.file.Keys)
	if got := mustGetCA(t, k); !bytes.Equal(got, want) {
		t.Error("the record beat the file")
	}
	recordGone(t, k)
	if log.Len() > 0 {
		t.Errorf("warned: %s", log)
	}
}

func TestCAKeeper_RecordDoesNotOpen(t *testing.T) {
	k, log := newCAKeeper(t)
	lost := putCA(t, k, keyring(t, 2))
	if got := mustGetCA(t, k); bytes.Equal(got, lost) || !bytes.Equal(got, mustGetCA(t, k)) {
		t.Error("want a new CA, kept")
	}
	recordGone(t, k)
	if !strings.Contains(log.String(), "the CA in the store does not open") {
		t.Errorf("log: %s", log)
	}
}

// What cannot be saved serves this run, and the record is not given up for it.
func TestCAKeeper_CannotSave(t *testing.T) {
	k, log := newCAKeeper(t)
	want := putCA(t, k, k.file.Keys)
	blocker := filepath.Join(filepath.Dir(k.file.Path), "file")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reachable := *k.file
	k.file.Path = filepath.Join(blocker, caSealedName) // a file is no folder
	if _, err := k.get(t.Context()); err == nil {
		t.Error("a file that cannot be read was taken for none")
	}
	k.file.Path = filepath.Join("/proc/nowhere", caSealedName)
	if got := mustGetCA(t, k); !bytes.Equal(got, want) {
		t.Error("it is another CA")
	}
	if !strings.Contains(log.String(), "cannot save the CA") {
		t.Errorf("log: %s", log)
	}
	k.file = &reachable
	if got := mustGetCA(t, k); !bytes.Equal(got, want) {
		t.Error("the record was given up")
	}
}

// Half a life later there is a new certificate for the same key, kept as well.
func TestCAKeeper_Renews(t *testing.T) {
	k, _ := newCAKeeper(t)
	first := mustGetCA(t, k)
	later := k.now().AddDate(6, 0, 0)
	k.now = func() time.Time { return later }
	second := mustGetCA(t, k)
	if bytes.Equal(first, second) || !bytes.Equal(second, mustGetCA(t, k)) {
		t.Error("want another certificate, kept")
	}
}

func TestResealCA(t *testing.T) {
	f := func(file *seal.File, want rekey.Result, wantErr error) {
		t.Helper()
		var got rekey.Result
		if err := resealCA(file, &got); !errors.Is(err, wantErr) {
			t.Errorf("%v, want %v", err, wantErr)
		}
		if got.Resealed != want.Resealed || got.Current != want.Current || len(got.Failed) != len(want.Failed) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	k, _ := newCAKeeper(t)
	f(nil, rekey.Result{}, nil)
	f(k.file, rekey.Result{}, nil)
	mustGetCA(t, k)
	f(k.file, rekey.Result{Current: 1}, nil)
	both, err := seal.New(bytes.Repeat([]byte{2}, seal.KeySize), bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	f(&seal.File{Path: k.file.Path, Keys: both}, rekey.Result{Resealed: 1}, nil)
	f(k.file, rekey.Result{Failed: []string{k.file.Path}}, seal.ErrWrongKey)
}
