package proxy

import (
	"sync"
	"sync/atomic"
)

const (
	// shortBytes is the most that a short body has. A short body is one slice, and a
	// part of the replay memory is reserved for short bodies.
	shortBytes = 64 << 10
	// pieceBytes is the size of the pieces of a longer body.
	pieceBytes = 32 << 10
	// firstBytes is how much a chunked body reserves at first.
	firstBytes = 1 << 10
)

// piece is a buffer for parts of bodies, of requests and of answers.
type piece [pieceBytes]byte

// freePieces pools pieces. replayMemory bounds how many of them bodies hold.
var freePieces = sync.Pool{New: func() any { return new(piece) }}

// replayMemory bounds what all calls together buffer of their bodies. A quarter of it is for
// short bodies alone, so that uploads never starve small calls. It is safe for concurrent
// use.
type replayMemory struct {
	limit int64
	used  atomic.Int64
	long  atomic.Int64 // the part of used that longer bodies hold
}

// reserve takes n more bytes for a body that holds held bytes. It reports whether there was room.
func (m *replayMemory) reserve(held, n int) bool {
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

// release gives back the held bytes of a body.
func (m *replayMemory) release(held int) {
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

// reserveFor returns how much a body of that length reserves.
func reserveFor(length int) int {
	if length <= shortBytes {
		return length
	}
	return (length + pieceBytes - 1) / pieceBytes * pieceBytes
}
