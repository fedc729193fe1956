package boltstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// TestOpen_DamagedCopies: no damaged copy of a file ends the process, every record
// that a cursor reaches survives, and the store works on.
func TestOpen_DamagedCopies(t *testing.T) {
	mutations := []struct {
		name string
		fn   mutation
		n    int
	}{
		{"flip", flipBit, 120},
		{"truncate", truncate, 60},
		{"zero", zeroPage, 50},
		{"garbage", garbagePage, 30},
		{"swap", swapPages, 40},
		{"stale", staleSector, 40},
		{"metas", zeroMetas, 1},
	}
	for _, records := range []int{5, 400} {
		base := makeSample(t, records)
		for _, m := range mutations {
			t.Run(fmt.Sprintf("%s of %d records", m.name, records), func(t *testing.T) {
				for seed := range m.n * damagedCopies(t) {
					r := rand.New(rand.NewPCG(uint64(seed), uint64(records)))
					image, touched := m.fn(r, append([]byte(nil), base.image...))
					tryCopy(t, seed, base, image, touched)
				}
			})
		}
	}
}

// damagedCopies is how many times as many copies are tried as usual, from the
// variable of this name: 100 are some 68,000.
func damagedCopies(t *testing.T) int {
	t.Helper()
	text := os.Getenv("DAMAGED_COPIES")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func tryCopy(t *testing.T, seed int, base sample, image []byte, touched [][2]int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "boltstore") // t.TempDir would keep all of them until the end
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(options(t, path))
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	defer mustClose(t, s)
	rec := s.Recovery()
	got := contents(t, s)
	for name, must := range base.reached(touched) {
		want, has := base.records[name], got[name]
		if must && (has.Generation != want.Generation || string(has.Sealed) != string(want.Sealed)) {
			t.Errorf("seed %d: %s is lost or old (generation %d of %d), although a cursor reaches it; %+v",
				seed, name, has.Generation, want.Generation, rec)
			return
		}
	}
	// With a bad meta page bbolt goes on with the other, before the last write: that
	// one deleted a record.
	undone := 0
	if overlaps([2]int{0, 2 * pageSize}, touched) {
		undone = 1
	}
	back, opens := 0, checkWith(testRing(t, 1))
	for name, rec := range got {
		// A flipped length makes other names, whose records do not open.
		if _, ok := base.records[name]; !ok && opens(name, rec) == nil {
			back++
		}
	}
	// A flipped position may lead to one old record, a wrong child to an old page.
	if back > undone+1 && !base.inTree(touched) {
		t.Errorf("seed %d: %d records came back from the dead: %+v", seed, back, rec)
	}
	if rec != nil {
		checkRecovery(t, seed, *rec, image, got)
	}
	mustPut(t, s, sealedWrite(testRing(t, 1), "after/the/repair", store.Record{}, 10))
	if rec != nil || base.inSpare(touched) {
		sound(t, path)
	} else {
		// bbolt does not see each wrong name, and may write a tree that is out of order
		// then, which the next start repairs.
		mustClose(t, s)
		mustClose(t, mustOpen(t, options(t, path)))
	}
	if t.Failed() {
		t.Fatalf("seed %d: %v", seed, touched)
	}
}

func checkRecovery(t *testing.T, seed int, rec Recovery, image []byte, got map[string]store.Record) {
	t.Helper()
	aside, err := os.ReadFile(rec.MovedTo)
	if err != nil || string(aside) != string(image) {
		t.Errorf("seed %d: the damaged file was not kept as it was: %v", seed, err)
	}
	if !strings.HasSuffix(rec.MovedTo, "s.db.damaged-20261124T054300Z") || rec.Kept != len(got) || rec.Reason == "" {
		t.Errorf("seed %d: %+v with %d records", seed, rec, len(got))
	}
}

func TestOpen_RepairedOnce(t *testing.T) {
	base := makeSample(t, 50)
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, base.withoutFreelist(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, options(t, path))
	if rec := s.Recovery(); rec == nil || rec.Kept != len(base.records) {
		t.Errorf("Recovery() = %+v, want all %d records", rec, len(base.records))
	}
	mustClose(t, s)
	s = mustOpen(t, options(t, path))
	if rec := s.Recovery(); rec != nil {
		t.Errorf("repaired again: %+v", rec)
	}
	same(t, base.records, contents(t, s))
}

// TestOpen_LostMeta: with one bad meta page the file is what bbolt's other one says,
// the state after the last write or the one before it, and what was deleted
// earlier stays deleted.
func TestOpen_LostMeta(t *testing.T) {
	path, k := filepath.Join(t.TempDir(), "s.db"), testRing(t, 1)
	s := mustOpen(t, options(t, path))
	for i := range 100 {
		mustPut(t, s, sealedWrite(k, nameOf(i), store.Record{}, 200))
	}
	stored := contents(t, s)
	for i := range 49 {
		mustPut(t, s, store.Write{Name: nameOf(i), Base: stored[nameOf(i)].Version()})
	}
	before := contents(t, s)
	mustPut(t, s, store.Write{Name: nameOf(49), Base: stored[nameOf(49)].Version()})
	after := contents(t, s)
	mustClose(t, s)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for page := range 2 {
		bad := append([]byte(nil), image...)
		bad[page*pageSize+40] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, options(t, path))
		got := contents(t, s)
		seen[len(got)] = true
		if len(got) == len(before) {
			same(t, before, got)
		} else {
			same(t, after, got)
		}
		mustPut(t, s, sealedWrite(k, "later", store.Record{}, 200))
		mustClose(t, s)
		sound(t, path)
	}
	if !seen[50] || !seen[51] {
		t.Errorf("numbers of records %v, want 50 and 51", seen)
	}
}

func TestOpen_WrongKeyIsNotDamage(t *testing.T) {
	base := makeSample(t, 30)
	wrong := options(t, filepath.Join(t.TempDir(), "s.db"))
	wrong.Check = checkWith(testRing(t, 9))
	for _, image := range [][]byte{base.image, base.withoutFreelist()} {
		if err := os.WriteFile(wrong.Path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(wrong)
		if !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), wrong.Path) || !strings.Contains(err.Error(), "seal.key_file") {
			t.Errorf("%v, want ErrWrongKey with the file and the setting", err)
		}
		if after, err := os.ReadFile(wrong.Path); err != nil || string(after) != string(image) {
			t.Errorf("the file was touched: %v", err)
		}
	}
}

// TestOpen_SomeForeignRecords: records under a third key are kept, with damage in
// the file or without.
func TestOpen_SomeForeignRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := mustOpen(t, options(t, path))
	mustPut(t, s, sealedWrite(testRing(t, 1), "ours", store.Record{}, 3000), sealedWrite(testRing(t, 9), "theirs", store.Record{}, 10))
	want := contents(t, s)
	mustClose(t, s)
	s = mustOpen(t, options(t, path))
	same(t, want, contents(t, s))
	if s.Recovery() != nil {
		t.Error("a foreign record was taken for damage")
	}
	mustClose(t, s)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var damaged sample
	damaged.image, damaged.spare, damaged.span = image, map[int]bool{}, map[string][2]int{}
	inspect(t, path, damaged.locate)
	if err := os.WriteFile(path, damaged.withoutFreelist(), 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, options(t, path))
	same(t, want, contents(t, s))
	if s.Recovery() == nil {
		t.Error("the damage was not noticed")
	}
}

// Nothing of a store is left in the file, or it never was one: it is moved aside as
// it is, and the sidecar starts.
func TestOpen_ForeignFileIsMovedAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	text := strings.Repeat("listen: {apps: 127.0.0.1:7080}\n", 1000)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, options(t, path))
	rec := s.Recovery()
	if rec == nil || rec.Kept != 0 {
		t.Fatalf("recovery %+v", rec)
	}
	if got, err := os.ReadFile(rec.MovedTo); err != nil || string(got) != text {
		t.Errorf("the file was not kept as it is: %v", err)
	}
}

func TestOpen_EmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, options(t, path))
	mustPut(t, s, sealedWrite(testRing(t, 1), "a", store.Record{}, 1))
}
