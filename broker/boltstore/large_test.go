package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// TestSweep_FindsDamage: in a file that is too large to be read at the start, the
// sweep finds a damaged record and has the file repaired.
func TestSweep_FindsDamage(t *testing.T) {
	base := makeSample(t, 400)
	span := base.span[nameOf(201)]
	for name, damage := range map[string]func(image []byte){
		"content": func(image []byte) {
			at := span[1] - 2 // the last record of the page, or room behind it
			for image[at] == 0 {
				at--
			}
			image[at] ^= 1
		},
		"length of the name": func(image []byte) { image[span[0]+16+8] ^= 2 }, // of the page's first record
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			image := append([]byte(nil), base.image...)
			damage(image)
			if err := os.WriteFile(path, image, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openWith(t, options(t, path), func(o *opener) { o.fullBelow = 0 })
			if err != nil {
				t.Fatal(err)
			}
			s.sweep.Wait()
			rec := s.Recovery()
			if rec == nil || rec.Kept != len(base.records)-1 {
				t.Errorf("Recovery() = %+v, want all records but one", rec)
			}
			if n := len(contents(t, s)); n != len(base.records)-1 {
				t.Errorf("%d records", n)
			}
			mustClose(t, s)
			sound(t, path)
		})
	}
}

func TestOpen_LargeStructure(t *testing.T) {
	base := makeSample(t, 400)
	path := filepath.Join(t.TempDir(), "s.db")
	load := func(image []byte, check checkFunc) (*Store, error) {
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		opts := options(t, path)
		opts.Check = check
		return openWith(t, opts, func(o *opener) { o.fullBelow = 0 })
	}
	s, err := load(base.image, options(t, path).Check)
	if err != nil {
		t.Fatal(err)
	}
	s.sweep.Wait()
	same(t, base.records, contents(t, s))
	if s.Recovery() != nil {
		t.Errorf("a sound file was repaired: %+v", s.Recovery())
	}
	mustClose(t, s)
	if _, err := load(base.image, checkWith(testRing(t, 9))); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("a wrong key: %v", err)
	}
	bad := append([]byte(nil), base.image...)
	clear(bad[base.freelist*pageSize:][:pageSize])
	if s, err = load(bad, nil); err != nil || s.Recovery() == nil {
		t.Fatalf("a lost list of free pages: %v", err)
	}
	mustClose(t, s)
}

func TestOpen_CompactsWaste(t *testing.T) {
	base := makeSample(t, 100)
	path := filepath.Join(t.TempDir(), "s.db")
	image := append(append([]byte(nil), base.image...), make([]byte, 8*len(base.image))...)
	for _, full := range []int64{0, 1 << 40} {
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openWith(t, options(t, path), func(o *opener) { o.compactAbove, o.fullBelow = 1<<16, full })
		if err != nil {
			t.Fatal(err)
		}
		same(t, base.records, contents(t, s))
		if info, err := os.Stat(path); err != nil || info.Size() > int64(len(base.image)) || s.Recovery() != nil {
			t.Errorf("%d bytes of %d are left, %v, %+v", info.Size(), len(image), err, s.Recovery())
		}
		mustPut(t, s, sealedWrite(testRing(t, 1), "after", store.Record{}, 1))
		mustClose(t, s)
		sound(t, path)
	}
}

func bench(b *testing.B) *Store {
	s := mustOpen(b, Options{Path: filepath.Join(b.TempDir(), "s.db")})
	var writes []store.Write
	for i := range 10_000 {
		writes = append(writes, store.Write{Name: nameOf(i), Record: store.Record{Generation: 1, Sealed: make([]byte, 300)}})
	}
	mustPut(b, s, writes...)
	return s
}

func BenchmarkStore_Get(b *testing.B) {
	s := bench(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), nameOf(1234)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStore_List100(b *testing.B) {
	s := bench(b)
	b.ReportAllocs()
	for b.Loop() {
		if page, err := s.List(b.Context(), "authorizer/", nameOf(1234), 100); err != nil || len(page) != 100 {
			b.Fatal(len(page), err)
		}
	}
}

// BenchmarkStore_Put measures one record of 300 bytes per Put, durably, by 1 and
// by 16 writers at once: per write, not per writer.
func BenchmarkStore_Put(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := bench(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for g := range uint64(b.N / writers) {
						base := store.Record{Generation: g + 1, Sealed: make([]byte, 300)}
						rec := store.Record{Generation: g + 2, Sealed: make([]byte, 300)}
						if err := s.Put(b.Context(), store.Write{Name: nameOf(w * 100), Base: base.Version(), Record: rec}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkOpen opens a file with many sealed records of 300 bytes, as a start does,
// with the page cache warm.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) { benchOpen(b, n) })
	}
}

func benchOpen(b *testing.B, n int) {
	opts, k := options(b, filepath.Join(b.TempDir(), "s.db")), testRing(b, 1)
	s := mustOpen(b, opts)
	for i := 0; i < n; {
		writes := make([]store.Write, 0, 10_000)
		for range cap(writes) {
			writes = append(writes, sealedWrite(k, nameOf(i), store.Record{}, 240))
			i++
		}
		mustPut(b, s, writes...)
	}
	mustClose(b, s)
	info, err := os.Stat(opts.Path)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		s, err := Open(opts)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		mustClose(b, s)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/open")
	b.ReportMetric(float64(info.Size())/float64(n), "bytes/record")
}
