package boltstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// sample is a store file, what is in it, and on which bytes each record rests.
type sample struct {
	image   []byte
	records map[string]store.Record
	span    map[string][2]int // first byte and the one after the last of its leaf page
}

// makeSample writes n records, some large, and rewrites and deletes some, so that
// old pages are about.
func makeSample(t testing.TB, n int) sample {
	t.Helper()
	path, k := filepath.Join(t.TempDir(), "s.db"), testRing(t, 1)
	s := mustOpen(t, options(t, path))
	want := map[string]store.Record{}
	for i := range n {
		w := sealedWrite(k, nameOf(i), 0, 200+(i%50/49)*9000)
		mustPut(t, s, w)
		want[w.Name] = w.Record
	}
	for i := 0; i < n; i += 3 {
		w := sealedWrite(k, nameOf(i), 1, 210)
		mustPut(t, s, w)
		want[w.Name] = w.Record
	}
	for i := 0; i < n; i += 10 {
		mustPut(t, s, store.Write{Name: nameOf(i), Base: want[nameOf(i)].Generation})
		delete(want, nameOf(i))
	}
	mustClose(t, s)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sample{image, want, spans(t, path, want)}
}

func spans(t testing.TB, path string, want map[string]store.Record) map[string][2]int {
	t.Helper()
	in := inspected(t, path)
	s := newCopy(in)
	s.scan()
	if in.damage != nil || len(s.found) != len(want) {
		t.Fatalf("the sample has %d records of %d, damage: %v", len(s.found), len(want), in.damage)
	}
	out := map[string][2]int{}
	for name, at := range s.found {
		h, p, err := in.read(at.page)
		if err != nil || h.flags != leafFlag {
			t.Fatal(err)
		}
		begin := int(at.page * in.m.pageSize)
		out[name] = [2]int{begin, begin + len(p)}
	}
	return out
}

// mutation changes an image and returns which bytes of it cannot be trusted now.
type mutation func(r *rand.Rand, image []byte) (changed []byte, touched [][2]int)

const pageSize = 4096

func flipBit(r *rand.Rand, image []byte) ([]byte, [][2]int) {
	i := r.IntN(len(image))
	if r.IntN(2) == 0 { // where the structure is
		i = r.IntN(len(image)/pageSize)*pageSize + r.IntN(64)
	}
	image[i] ^= 1 << r.IntN(8)
	return image, [][2]int{{i, i + 1}}
}

func truncate(r *rand.Rand, image []byte) ([]byte, [][2]int) {
	n := r.IntN(len(image))
	if r.IntN(2) == 0 {
		n -= n % pageSize
	}
	return image[:n], [][2]int{{n, len(image)}}
}

func zeroPage(r *rand.Rand, image []byte) ([]byte, [][2]int) {
	p := r.IntN(len(image)/pageSize) * pageSize
	clear(image[p : p+pageSize])
	return image, [][2]int{{p, p + pageSize}}
}

func garbagePage(r *rand.Rand, image []byte) ([]byte, [][2]int) {
	p := r.IntN(len(image)/pageSize) * pageSize
	for i := range pageSize {
		image[p+i] = byte(r.Uint32())
	}
	return image, [][2]int{{p, p + pageSize}}
}

func swapPages(r *rand.Rand, image []byte) ([]byte, [][2]int) {
	a, b := r.IntN(len(image)/pageSize)*pageSize, r.IntN(len(image)/pageSize)*pageSize
	for i := range pageSize {
		image[a+i], image[b+i] = image[b+i], image[a+i]
	}
	return image, [][2]int{{a, a + pageSize}, {b, b + pageSize}}
}

func zeroMetas(_ *rand.Rand, image []byte) ([]byte, [][2]int) {
	clear(image[:2*pageSize])
	return image, [][2]int{{0, 2 * pageSize}}
}

// TestOpen_DamagedCopies: no damaged copy of a file ends the process, every record
// that does not rest on a changed page survives, and the store works on.
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
		{"metas", zeroMetas, 1},
	}
	for _, records := range []int{5, 400} {
		base := makeSample(t, records)
		for _, m := range mutations {
			t.Run(fmt.Sprintf("%s of %d records", m.name, records), func(t *testing.T) {
				for seed := range m.n {
					r := rand.New(rand.NewPCG(uint64(seed), uint64(records)))
					image, touched := m.fn(r, append([]byte(nil), base.image...))
					tryCopy(t, seed, base, image, touched)
				}
			})
		}
	}
}

func tryCopy(t *testing.T, seed int, base sample, image []byte, touched [][2]int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
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
	for name, want := range base.records {
		if has := got[name]; has.Generation == want.Generation && string(has.Sealed) == string(want.Sealed) {
			continue
		}
		if !overlaps(base.span[name], touched) {
			t.Errorf("seed %d: %s is lost or old (generation %d of %d), although its page is whole; %+v",
				seed, name, got[name].Generation, want.Generation, rec)
			return
		}
	}
	if rec == nil {
		if len(got) != len(base.records) {
			t.Errorf("seed %d: %d records of %d without a repair", seed, len(got), len(base.records))
		}
	} else {
		checkRecovery(t, seed, *rec, image, base, got)
	}
	mustPut(t, s, sealedWrite(testRing(t, 1), "after/the/repair", 0, 10))
	sound(t, path)
}

func checkRecovery(t *testing.T, seed int, rec Recovery, image []byte, base sample, got map[string]store.Record) {
	t.Helper()
	if !rec.Doubtful {
		for name := range got {
			if _, ok := base.records[name]; !ok {
				t.Errorf("seed %d: %s came back from the dead: %+v", seed, name, rec)
			}
		}
	}
	aside, err := os.ReadFile(rec.MovedTo)
	if err != nil || string(aside) != string(image) {
		t.Errorf("seed %d: the damaged file was not kept as it was: %v", seed, err)
	}
	if !strings.HasSuffix(rec.MovedTo, "s.db.damaged-20261124T054300Z") || rec.Kept != len(got) || rec.Reason == "" {
		t.Errorf("seed %d: %+v with %d records", seed, rec, len(got))
	}
}

func overlaps(span [2]int, touched [][2]int) bool {
	for _, c := range touched {
		if span[0] < c[1] && c[0] < span[1] {
			return true
		}
	}
	return false
}

func TestOpen_RepairedOnce(t *testing.T) {
	base := makeSample(t, 50)
	path := filepath.Join(t.TempDir(), "s.db")
	image, _ := zeroMetas(nil, append([]byte(nil), base.image...))
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, options(t, path))
	want := contents(t, s)
	if rec := s.Recovery(); rec == nil || !rec.Doubtful {
		t.Errorf("Recovery() = %+v, want a doubtful one", rec)
	}
	mustClose(t, s)
	s = mustOpen(t, options(t, path))
	if rec := s.Recovery(); rec != nil {
		t.Errorf("repaired again: %+v", rec)
	}
	same(t, want, contents(t, s))
}

// TestOpen_LostMeta: bbolt would go on with the older meta page, and so without
// the last write, and say nothing.
func TestOpen_LostMeta(t *testing.T) {
	path, k := filepath.Join(t.TempDir(), "s.db"), testRing(t, 1)
	s := mustOpen(t, options(t, path))
	for i := range 100 {
		mustPut(t, s, sealedWrite(k, nameOf(i), 0, 200))
	}
	mustPut(t, s, sealedWrite(k, nameOf(7), 1, 200))
	want := contents(t, s)
	mustClose(t, s)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range 2 {
		bad := append([]byte(nil), image...)
		bad[page*pageSize+40] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, options(t, path))
		same(t, want, contents(t, s))
		if s.Recovery() == nil {
			t.Errorf("meta %d: not noticed", page)
		}
		mustClose(t, s)
	}
}

func TestOpen_WrongKeyIsNotDamage(t *testing.T) {
	base := makeSample(t, 30)
	wrong := options(t, filepath.Join(t.TempDir(), "s.db"))
	wrong.Check = checkWith(testRing(t, 9))
	flipped, _ := flipBit(rand.New(rand.NewPCG(1, 1)), append([]byte(nil), base.image...))
	flipped[8] ^= 1
	for _, image := range [][]byte{base.image, flipped} {
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
	mustPut(t, s, sealedWrite(testRing(t, 1), "ours", 0, 10), sealedWrite(testRing(t, 9), "theirs", 0, 10))
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
	image[40] ^= 1
	if err := os.WriteFile(path, image, 0o600); err != nil {
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
	mustPut(t, s, sealedWrite(testRing(t, 1), "a", 0, 1))
}

// FuzzInspect: whatever is in a file, reading it ends without a panic.
func FuzzInspect(f *testing.F) {
	base := makeSample(f, 5)
	f.Add(base.image)
	f.Add(base.image[:3*pageSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, image []byte) {
		r := strings.NewReader(string(image))
		in := inspect(r, int64(len(image)), true, nil)
		s := newSalvage(in, nil)
		s.scan()
		if err := s.each(func(string, []byte) error { return nil }); err != nil {
			t.Errorf("what was found cannot be read again: %v", err)
		}
	})
}
