package proxy

import (
	"errors"
	"io"
	"slices"
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

// keep reads the body into memory, so that the call can be sent again, if it has at
// most limit bytes and m has room for it; else notKept says why not. Then one with a
// length stays a stream that was not touched, and of a chunked one a part was read:
// it can only be refused.
func (b *body) keep(limit int, m *memory) *fault {
	switch {
	case b.whole:
		return nil
	case b.length == lengthChunked:
	case b.length > limit:
		b.notKept = replayTooLarge
		return nil
	case !b.reserve(reserveFor(b.length), m):
		b.notKept = replayNoMemory
		return nil
	}
	for b.size() != b.length {
		if f := b.readSome(limit, m); f != nil || b.notKept != "" {
			return f
		}
	}
	b.whole = true
	return nil
}

// readSome reads the next bytes of the body; at the end of a chunked one it sets
// length.
func (b *body) readSome(limit int, m *memory) *fault {
	// Of a chunked body one byte that comes shows that it needs more room.
	probing := b.length == lengthChunked && (b.size() == b.reserved || b.size() == limit)
	space := b.probe[:]
	if !probing {
		space = b.space(limit)
	}
	n, err := b.Read(space)
	if !probing {
		b.took(n)
	} else if n > 0 {
		b.makeRoom(limit, m)
	}
	switch {
	case b.notKept != "":
	case errors.Is(err, io.EOF) && (b.length == lengthChunked || b.size() == b.length):
		b.length = b.size()
	case err != nil:
		return bodyIncomplete()
	}
	return nil
}

// makeRoom reserves more for a chunked body, whose next byte is in probe.
func (b *body) makeRoom(limit int, m *memory) {
	switch {
	case b.size() == limit:
		b.notKept = replayTooLarge
	case !b.reserve(b.growth(), m):
		b.notKept = replayNoMemory
	default:
		b.took(copy(b.space(limit), b.probe[:]))
	}
}

func (b *body) size() int { return len(b.kept) + b.inPieces }

// reserveFor is what a body of that length takes of the memory.
func reserveFor(length int) int {
	if length <= shortBytes {
		return length
	}
	return (length + pieceBytes - 1) / pieceBytes * pieceBytes
}

func (b *body) reserve(n int, m *memory) bool {
	if !m.take(b.reserved, n) {
		return false
	}
	b.reserved += n
	return true
}

// space returns where the next bytes of the body go.
func (b *body) space(limit int) []byte {
	left := b.length - b.size()
	if b.length == lengthChunked {
		left = min(limit, b.reserved) - b.size()
	}
	if b.length <= shortBytes && len(b.kept) < shortBytes {
		return b.spaceInKept(left)
	}
	at := b.inPieces % pieceBytes
	if at == 0 {
		b.pieces = append(b.pieces, freePieces.Get().(*piece))
	}
	last := b.pieces[len(b.pieces)-1]
	return last[at:min(pieceBytes, at+left)]
}

// growth is how much more a chunked body reserves: what doubles it while it is
// short, and a piece from then on.
func (b *body) growth() int {
	if size := b.size(); size < shortBytes {
		return min(max(firstBytes, size), shortBytes-size)
	}
	return pieceBytes
}

func (b *body) spaceInKept(n int) []byte {
	end := len(b.kept) + n
	if end > cap(b.kept) {
		b.kept = append(make([]byte, 0, end), b.kept...)
	}
	return b.kept[len(b.kept):end]
}

// took notes that n bytes came into the last space.
func (b *body) took(n int) {
	if len(b.pieces) > 0 {
		b.inPieces += n
		return
	}
	b.kept = b.kept[:len(b.kept)+n]
}

// parts yields what is kept, in order and in parts of at most pieceBytes.
func (b *body) parts(yield func([]byte) bool) {
	for part := range slices.Chunk(b.kept, pieceBytes) {
		if !yield(part) {
			return
		}
	}
	left := b.inPieces
	for _, p := range b.pieces {
		if !yield(p[:min(left, pieceBytes)]) {
			return
		}
		left -= pieceBytes
	}
}

// join makes all that is kept lie in kept, where it can be parsed.
func (b *body) join() {
	if len(b.pieces) == 0 {
		return
	}
	all := make([]byte, 0, b.size())
	for part := range b.parts {
		all = append(all, part...)
	}
	b.kept = all
	b.freePieces()
}

func (b *body) freePieces() {
	for i, p := range b.pieces {
		freePieces.Put(p)
		b.pieces[i] = nil
	}
	b.pieces, b.inPieces = b.pieces[:0], 0
}

// release gives back the memory of a body that will not be sent again.
func (b *body) release(m *memory) {
	b.freePieces()
	m.give(b.reserved)
	b.reserved = 0
}
