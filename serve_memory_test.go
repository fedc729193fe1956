package main

import "testing"

func TestHeapUse(t *testing.T) {
	const mb = 1_000_000
	f := func(h heapUse, perSecond uint64, growth int, over bool) {
		t.Helper()
		if got := h.growth(perSecond); got != growth {
			t.Errorf("%+v, %d allocated a second: it may grow by %d %%, want %d", h, perSecond, got, growth)
		}
		if got := h.waveIsOver(perSecond); got != over {
			t.Errorf("%+v, %d allocated a second: a wave is over: %t", h, perSecond, got)
		}
	}
	f(heapUse{live: 8 * mb, objects: 15 * mb}, 0, 100, false) // as Go has it
	f(heapUse{live: 8 * mb, objects: 15 * mb, free: 2 * mb}, 0, 100, true)
	f(heapUse{live: 30 * mb, objects: 50 * mb}, 500*mb, 100, false)
	f(heapUse{live: 30 * mb, objects: 50 * mb}, mb, 100, true)
	f(heapUse{live: 30 * mb, objects: 50 * mb}, 3*mb, 100, false) // it would be taken again at once
	f(heapUse{live: 100 * mb, objects: 120 * mb, free: 20 * mb}, mb, 20, false)
	f(heapUse{live: 100 * mb, objects: 190 * mb}, 5*mb, 20, true)
	f(heapUse{live: 100 * mb, objects: 110 * mb, free: 50 * mb}, 5*mb, 20, true)
	f(heapUse{live: 100 * mb, objects: 110 * mb, free: 50 * mb}, 7*mb, 28, false)
	f(heapUse{live: 100 * mb, objects: 190 * mb}, 10*mb, 40, false)
	f(heapUse{live: 1000 * mb, objects: 1190 * mb}, 10*mb, 40, false)
	f(heapUse{live: 100 * mb, objects: 190 * mb}, 25*mb, 100, false)
	f(heapUse{live: 100 * mb, objects: 190 * mb}, 2500*mb, 100, false)
}
