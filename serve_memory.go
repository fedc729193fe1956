package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	memoryEvery = 5 * time.Second
	// smallHeap is up to which size the heap grows as Go's heaps do, to twice its size
	// before garbage is collected: what could be saved is little.
	smallHeap = 32 << 20
	// A larger one is nearly all accounts, which stay, and may grow by leastGrowth percent;
	// by growthPerMB for each MB of garbage a second where that is more. To mark 1 GB takes
	// about a second of a processor, so that collecting takes 2.5 % of one.
	leastGrowth, mostGrowth = 20, 100
	growthPerMB             = 4
	// idleMemory is how much may lie idle, and half of what is in use, and what is
	// allocated in idleSeconds: to return that would only have it taken again.
	idleMemory  = 8 << 20
	idleSeconds = 10
)

// heapUse is what the heap has, in bytes: what lived when garbage was last collected, what
// lives or is garbage now, what is free and not returned to the system, and all that was
// ever allocated.
type heapUse struct{ live, objects, free, allocated uint64 }

func readHeap() heapUse {
	all := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(all)
	return heapUse{all[0].Value.Uint64(), all[1].Value.Uint64(), all[2].Value.Uint64(), all[3].Value.Uint64()}
}

// growth returns by how many percent the heap may grow before garbage is collected, where
// so many bytes are allocated a second.
func (h heapUse) growth(perSecond uint64) int {
	if h.live < smallHeap {
		return mostGrowth
	}
	return int(min(max(growthPerMB*perSecond/1e6, leastGrowth), mostGrowth))
}

// waveIsOver reports whether the heap holds much more than what is in use, which nothing
// but its return to the system would change soon.
func (h heapUse) waveIsOver(perSecond uint64) bool {
	return h.objects+h.free > h.live+max(idleMemory, h.live/2, idleSeconds*perSecond)
}

// keepMemorySmall has the memory follow what is in use until ctx ends, unless GOGC says
// otherwise: else a hundred thousand accounts would take twice what they need, and keep
// the memory that a wave of renewals, or of calls, took.
func (s *sidecar) keepMemorySmall(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	growth, before := mostGrowth, readHeap()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readHeap()
		perSecond := (now.allocated - before.allocated) / uint64(memoryEvery/time.Second)
		before = now
		if next := now.growth(perSecond); next != growth {
			debug.SetGCPercent(next)
			growth = next
		}
		if now.waveIsOver(perSecond) {
			debug.FreeOSMemory()
		}
		if store, ok := s.records.(interface{ ReleaseMemory() }); ok {
			store.ReleaseMemory()
		}
	}
}
