package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

func testRing(t testing.TB, b byte) *seal.Keyring {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{b}, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func checkWith(k *seal.Keyring) func(string, store.Record) error {
	return func(name string, rec store.Record) error {
		_, err := k.Open(name, rec.Generation, rec.Sealed)
		return err
	}
}

// sealedWrite is a write over base with a content that tells its generation.
func sealedWrite(k *seal.Keyring, name string, base store.Record, size int) store.Write {
	next := base.Generation + 1
	plain := append([]byte(fmt.Sprintf("%s %d ", name, next)), make([]byte, size)...)
	return store.Write{Name: name, Base: base.Version(), Record: store.Record{Generation: next, Sealed: k.Seal(name, next, plain)}}
}

func nameOf(i int) string { return fmt.Sprintf("authorizer/wx%016x", i) }

// options are for a store at path whose seals are checked with the key 1.
func options(t testing.TB, path string) Options {
	return Options{
		Path: path, Check: checkWith(testRing(t, 1)),
		Now: func() time.Time { return time.Date(2026, 11, 24, 5, 43, 0, 0, time.UTC) },
	}
}

func mustOpen(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// openWith opens a store by an opener that set has changed.
func openWith(t testing.TB, opts Options, set func(*opener)) (*Store, error) {
	t.Helper()
	o, err := newOpener(opts)
	if err != nil {
		t.Fatal(err)
	}
	set(o)
	return open(o)
}

func mustPut(t testing.TB, s *Store, writes ...store.Write) {
	t.Helper()
	if err := s.Put(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// contents returns all records.
func contents(t testing.TB, s *Store) map[string]store.Record {
	t.Helper()
	page, err := s.List(t.Context(), "", "", 1<<20)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	out := map[string]store.Record{}
	for _, n := range page {
		out[n.Name] = n.Record
	}
	return out
}

func same(t testing.TB, want, got map[string]store.Record) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%.2000s", diff)
	}
}

// inspect gives fn a transaction on a copy of the file at path, which may be in use.
func inspect(t testing.TB, path string, fn func(*bbolt.Tx)) {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	twin := filepath.Join(t.TempDir(), "twin.db")
	if err := os.WriteFile(twin, image, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(twin, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// sound fails the test unless bbolt finds nothing wrong with the file at path.
func sound(t testing.TB, path string) {
	t.Helper()
	inspect(t, path, func(tx *bbolt.Tx) {
		for err := range tx.Check() {
			t.Errorf("the file is not sound: %v", err)
		}
	})
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		path := filepath.Join(t.TempDir(), "s.db")
		s := mustOpen(t, Options{Path: path})
		t.Cleanup(func() { sound(t, path) })
		return s
	})
}

func TestStore_Reopen(t *testing.T) {
	path, k := filepath.Join(t.TempDir(), "new", "dir", "s.db"), testRing(t, 1)
	want := map[string]store.Record{}
	for round := range 4 {
		s := mustOpen(t, options(t, path))
		same(t, want, contents(t, s))
		if rec := s.Recovery(); rec != nil {
			t.Errorf("round %d: repaired: %+v", round, rec)
		}
		for i := range 50 {
			w := sealedWrite(k, nameOf(i*(round+1)), want[nameOf(i*(round+1))], i*i*3)
			mustPut(t, s, w)
			want[w.Name] = w.Record
		}
		mustClose(t, s)
		sound(t, path)
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, mode)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%d files in the directory, want the store alone; %v", len(left), err)
	}
}

func TestStore_Closed(t *testing.T) {
	s := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "s.db")})
	mustClose(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, errClosed) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.List(t.Context(), "", "", 1); !errors.Is(err, errClosed) {
		t.Errorf("List: %v", err)
	}
	if err := s.Put(t.Context(), sealedWrite(testRing(t, 1), "a", store.Record{}, 1)); !errors.Is(err, errClosed) {
		t.Errorf("Put: %v", err)
	}
}

// What a disk refuses is said of the file that is there: a new one was opened by
// the name under which it was built, and has another since.
func TestStore_ErrorsNameTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wx.db")
	s, err := Open(options(t, path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()                  // the file is closed already
	if err := s.cur.Load().file.Close(); err != nil { // a disk that takes nothing
		t.Fatal(err)
	}
	err = s.Put(t.Context(), sealedWrite(testRing(t, 1), nameOf(1), store.Record{}, 10))
	if err == nil || !strings.Contains(err.Error(), path+":") || strings.Contains(err.Error(), ".new") {
		t.Errorf("got %v, want it to name %s", err, path)
	}
}

func TestOpen_Symlink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.db"), filepath.Join(dir, "link.db")
	mustClose(t, mustOpen(t, Options{Path: real}))
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Options{Path: link})
	mustPut(t, s, sealedWrite(testRing(t, 1), "a", store.Record{}, 1))
	mustClose(t, s)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if n := len(contents(t, mustOpen(t, Options{Path: real}))); n != 1 {
		t.Errorf("%d records behind the link", n)
	}
}

func TestStore_TooLarge(t *testing.T) {
	s := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "s.db")})
	big := store.Write{Name: "a", Record: store.Record{Generation: 1, Sealed: make([]byte, maxSealed+1)}}
	if err := s.Put(t.Context(), big); err == nil {
		t.Error("a record above the limit was taken")
	}
	big.Record.Sealed = big.Record.Sealed[:maxSealed]
	mustPut(t, s, big)
	if got := contents(t, s)["a"]; len(got.Sealed) != maxSealed {
		t.Errorf("%d bytes came back", len(got.Sealed))
	}
	mustPut(t, s, sealedWrite(testRing(t, 1), string(bytes.Repeat([]byte("n"), maxName)), store.Record{}, 1))
	if err := s.Put(t.Context(), sealedWrite(testRing(t, 1), string(bytes.Repeat([]byte("n"), maxName+1)), store.Record{}, 1)); err == nil {
		t.Error("a name above the limit was taken")
	}
}
