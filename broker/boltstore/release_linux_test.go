package boltstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// resident returns how many bytes of a mapped file are in this process's memory.
func resident(t *testing.T, path string) (bytes int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	mapped := false
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.Contains(fields[0], "-") {
			mapped = fields[len(fields)-1] == path
		}
		var kib int
		if n, _ := fmt.Sscanf(line, "Rss: %d kB", &kib); mapped && n == 1 {
			bytes += kib << 10
		}
	}
	return bytes
}

func TestReleaseMemory(t *testing.T) {
	const records, least = 4000, 1 << 20
	path := filepath.Join(t.TempDir(), "s.db")
	s := mustOpen(t, Options{Path: path})
	var writes []store.Write
	for i := range records {
		writes = append(writes, store.Write{Name: fmt.Sprintf("k%05d", i), Record: store.Record{Generation: 1, Sealed: []byte(strings.Repeat("s", 400))}})
	}
	if err := s.Put(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
	read := func() {
		t.Helper()
		if all, err := s.List(t.Context(), "k", "", records+1); err != nil || len(all) != records {
			t.Errorf("%d of %d records are read; %v", len(all), records, err)
		}
	}
	read()
	before := resident(t, path)
	if before < least {
		t.Fatalf("%d bytes of the file are in memory after all was read", before)
	}
	s.ReleaseMemory()
	if after := resident(t, path); after > before/8 {
		t.Errorf("%d bytes of the file are in memory, %d were before", after, before)
	}
	// Beside readers and a writer under whom the file grows.
	var all sync.WaitGroup
	all.Go(read)
	all.Go(func() {
		for i := range 20 {
			big := store.Write{Name: fmt.Sprintf("l%05d", i), Record: store.Record{Generation: 1, Sealed: []byte(strings.Repeat("s", 30_000))}}
			if err := s.Put(t.Context(), big); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for range 200 {
			s.ReleaseMemory()
		}
	})
	all.Wait()
	mustClose(t, s)
	s.ReleaseMemory() // of nothing
}
