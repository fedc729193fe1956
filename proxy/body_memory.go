package proxy

import (
	"sync"
	"sync/atomic"
)

const (
	// shortBytes is up to how much a body is short: it lies in one stretch, and a part
	// of the replay memory is for short ones alone.
	shortBytes = 64 << 10
	// pieceBytes is how much of a longer body lies in one stretch.
	pieceBytes = 32 << 10
	// firstBytes is how much room a chunked body gets at first.
	firstBytes = 1 << 10
)

// piece is a stretch of memory that bodies of any kind pass through or lie in.
type piece [pieceBytes]byte

// freePieces are those in no use. What bodies may hold of them is bounded by memory.
var freePieces = sync.Pool{New: func() any { return new(piece) }}

// memory is what all calls together may keep of their bodies. A quarter of it is for
// short ones alone, so that uploads never keep small calls out. It is safe for
// concurrent use.
type memory struct {
	limit int64
	used  atomic.Int64
	long  atomic.Int64 // what of used longer bodies hold
}

// take reserves n more bytes for a body that has reserved held.
func (m *memory) take(held, n int) bool {
	if !add(&m.used, int64(n), m.limit) {
		return false
	}
	long := longPart(held+n) - longPart(held)
	if long == 0 || add(&m.long, long, m.limit-m.limit/4) {
		return true
	}
	m.used.Add(-int64(n))
	return false
}

// give takes back all that a body has reserved.
func (m *memory) give(held int) {
	if held == 0 {
		return
	}
	m.used.Add(-int64(held))
	if long := longPart(held); long > 0 {
		m.long.Add(-long)
	}
}

func longPart(held int) int64 {
	if held <= shortBytes {
		return 0
	}
	return int64(held)
}

func add(n *atomic.Int64, more, limit int64) bool {
	if n.Add(more) <= limit {
		return true
	}
	n.Add(-more)
	return false
}

// reserveFor is what a body of that length takes of the memory.
func reserveFor(length int) int {
	if length <= shortBytes {
		return length
	}
	return (length + pieceBytes - 1) / pieceBytes * pieceBytes
}
