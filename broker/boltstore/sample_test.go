package boltstore

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"

	"go.etcd.io/bbolt"

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
		w := sealedWrite(k, nameOf(i), store.Record{}, 200+(i%50/49)*9000)
		mustPut(t, s, w)
		want[w.Name] = w.Record
	}
	for i := 0; i < n; i += 3 {
		w := sealedWrite(k, nameOf(i), want[nameOf(i)], 210)
		mustPut(t, s, w)
		want[w.Name] = w.Record
	}
	for i := 0; i < n; i += 10 {
		mustPut(t, s, store.Write{Name: nameOf(i), Base: want[nameOf(i)].Version()})
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
