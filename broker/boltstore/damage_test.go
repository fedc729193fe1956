package boltstore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"go.etcd.io/bbolt"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// sample is a store file, what is in it, and on which bytes each record rests.
type sample struct {
	image   []byte
	records map[string]store.Record
	names   []string          // of the records, in order
	span    map[string][2]int // first byte and the one after the last of its leaf page
	// spare are the pages that no record rests on, neither directly nor through the
	// tree: the list of free pages and what is in it.
	spare map[int]bool
	// freelist is the page with that list.
	freelist int
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
	base := sample{image: image, records: want, names: slices.Sorted(maps.Keys(want)), span: map[string][2]int{}, spare: map[int]bool{}}
	inspect(t, path, base.locate)
	if len(base.span) != len(want) || base.freelist == 0 {
		t.Fatalf("the sample has %d records of %d, its list of free pages is page %d", len(base.span), len(want), base.freelist)
	}
	return base
}

// locate sets span, spare and freelist. bbolt gives out the very bytes of the file,
// which tells where a record lies.
func (s *sample) locate(tx *bbolt.Tx) {
	heads := make([][2]int, len(s.image)/pageSize) // of each page: the first and the last of its run
	for id := 0; id < len(heads); {
		info, err := tx.Page(id)
		if err != nil || info == nil {
			s.spare[id] = true // beyond what was ever used
			id++
			continue
		}
		run := [2]int{id, id + info.OverflowCount}
		if info.Type == "free" {
			run[1] = id
		}
		for ; id <= run[1]; id++ {
			heads[id] = run
			s.spare[id] = info.Type == "free" || info.Type == "freelist"
		}
		if info.Type == "freelist" {
			s.freelist = run[0]
		}
	}
	c := tx.Bucket(bucketName()).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		at := int(uintptr(unsafe.Pointer(&k[0])) - tx.DB().Info().Data)
		run := heads[at/pageSize]
		s.span[string(k)] = [2]int{run[0] * pageSize, (run[1] + 1) * pageSize}
	}
}

// reached returns the names of the records that a cursor must reach although the
// touched bytes cannot be trusted: those before the first and after the last record
// that rests on such a byte. Where the tree itself is touched these are none.
func (s *sample) reached(touched [][2]int) map[string]bool {
	out := map[string]bool{}
	if s.inTree(touched) {
		return out
	}
	bad := func(n string) bool { return overlaps(s.span[n], touched) }
	first := slices.IndexFunc(s.names, bad)
	if first < 0 {
		first = len(s.names)
	}
	for i, n := range s.names {
		out[n] = i < first || !slices.ContainsFunc(s.names[i:], bad)
	}
	return out
}

// inSpare reports whether all touched bytes are in pages without records.
func (s *sample) inSpare(touched [][2]int) bool {
	return !s.inTree(touched) && !slices.ContainsFunc(s.names, func(n string) bool { return overlaps(s.span[n], touched) })
}

// inTree reports whether a touched byte is in a page that leads to others.
func (s *sample) inTree(touched [][2]int) bool {
	for _, c := range touched {
		for page := c[0] / pageSize; page*pageSize < c[1]; page++ {
			leaf := slices.ContainsFunc(s.names, func(n string) bool {
				return overlaps(s.span[n], [][2]int{{page * pageSize, (page + 1) * pageSize}})
			})
			if !leaf && !s.spare[page] {
				return true
			}
		}
	}
	return false
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

// staleSector puts a sector of one page into another, as a torn write leaves it.
func staleSector(r *rand.Rand, image []byte) ([]byte, [][2]int) {
	const sector = 512
	at := r.IntN(len(image)/sector) * sector
	copy(image[at:at+sector], image[r.IntN(len(image)/pageSize)*pageSize+at%pageSize:])
	return image, [][2]int{{at, at + sector}}
}

func zeroMetas(_ *rand.Rand, image []byte) ([]byte, [][2]int) {
	clear(image[:2*pageSize])
	return image, [][2]int{{0, 2 * pageSize}}
}

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
	mustPut(t, s, sealedWrite(testRing(t, 1), "after/the/repair", 0, 10))
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

func overlaps(span [2]int, touched [][2]int) bool {
	for _, c := range touched {
		if span[0] < c[1] && c[0] < span[1] {
			return true
		}
	}
	return false
}

// withoutFreelist returns an image whose list of free pages is lost, and nothing else.
func (s *sample) withoutFreelist() []byte {
	image := append([]byte(nil), s.image...)
	clear(image[s.freelist*pageSize:][:pageSize])
	return image
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
		mustPut(t, s, sealedWrite(k, nameOf(i), 0, 200))
	}
	for i := range 49 {
		mustPut(t, s, store.Write{Name: nameOf(i), Base: 1})
	}
	before := contents(t, s)
	mustPut(t, s, store.Write{Name: nameOf(49), Base: 1})
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
		mustPut(t, s, sealedWrite(k, "later", 0, 200))
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
	mustPut(t, s, sealedWrite(testRing(t, 1), "ours", 0, 3000), sealedWrite(testRing(t, 9), "theirs", 0, 10))
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
	mustPut(t, s, sealedWrite(testRing(t, 1), "a", 0, 1))
}
