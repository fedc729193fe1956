package proxy

import (
	"errors"
	"io"
	"slices"
)

// keepBody reads a body of at most limit bytes. The time for what fasthttp has not
// read yet is the app's.
func (s *Server) keepBody(r *request, limit int) *fault {
	if r.body.whole || r.body.preread() {
		return r.body.keep(limit, &s.memory)
	}
	began := s.now()
	f := r.body.keep(limit, &s.memory)
	r.outside += s.now().Sub(began)
	return f
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
