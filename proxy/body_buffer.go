package proxy

import (
	"errors"
	"io"
	"slices"
)

// bufferBody is [body.buffer]. The time that the app takes to send counts as outside.
func (s *Server) bufferBody(r *request, limit int) *fault {
	if r.body.whole || r.body.preread() {
		return r.body.buffer(limit, &s.memory)
	}
	began := s.now()
	f := r.body.buffer(limit, &s.memory)
	r.outside += s.now().Sub(began)
	return f
}

// buffer reads the body into memory, so that the call can be sent again, if the body has
// at most limit bytes and m has room for it. Otherwise it sets notBuffered. A body with a
// length is then untouched and can still be streamed. A chunked one was read in part, so
// the call must be refused.
func (b *body) buffer(limit int, m *replayMemory) *fault {
	switch {
	case b.whole:
		return nil
	case b.length == lengthChunked:
	case b.length > limit:
		b.notBuffered = replayTooLarge
		return nil
	case !b.reserve(reserveFor(b.length), m):
		b.notBuffered = replayNoMemory
		return nil
	}
	for b.size() != b.length {
		if f := b.readSome(limit, m); f != nil || b.notBuffered != "" {
			return f
		}
	}
	b.whole = true
	return nil
}

// readSome reads the next bytes of the body. At the end of a chunked body it sets length.
func (b *body) readSome(limit int, m *replayMemory) *fault {
	// Only the next byte of a chunked body shows that it needs more room.
	probing := b.length == lengthChunked && (b.size() == b.reserved || b.size() == limit)
	space := b.probe[:]
	if !probing {
		space = b.space(limit)
	}
	n, err := b.Read(space)
	if !probing {
		b.advance(n)
	} else if n > 0 {
		b.makeRoom(limit, m)
	}
	switch {
	case b.notBuffered != "":
	case errors.Is(err, io.EOF) && (b.length == lengthChunked || b.size() == b.length):
		b.length = b.size()
	case err != nil:
		return bodyIncomplete()
	}
	return nil
}

// makeRoom reserves more for a chunked body and takes over the byte in probe.
func (b *body) makeRoom(limit int, m *replayMemory) {
	switch {
	case b.size() == limit:
		b.notBuffered = replayTooLarge
	case !b.reserve(b.growth(), m):
		b.notBuffered = replayNoMemory
	default:
		b.advance(copy(b.space(limit), b.probe[:]))
	}
}

func (b *body) size() int { return len(b.buffered) + b.inPieces }

func (b *body) reserve(n int, m *replayMemory) bool {
	if !m.reserve(b.reserved, n) {
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
	if b.length <= shortBytes && len(b.buffered) < shortBytes {
		return b.spaceInBuffered(left)
	}
	at := b.inPieces % pieceBytes
	if at == 0 {
		b.pieces = append(b.pieces, freePieces.Get().(*piece))
	}
	last := b.pieces[len(b.pieces)-1]
	return last[at:min(pieceBytes, at+left)]
}

// growth returns how much more a chunked body reserves: as much as it has while it is
// short, then a piece.
func (b *body) growth() int {
	if size := b.size(); size < shortBytes {
		return min(max(firstBytes, size), shortBytes-size)
	}
	return pieceBytes
}

func (b *body) spaceInBuffered(n int) []byte {
	end := len(b.buffered) + n
	if end > cap(b.buffered) {
		b.buffered = append(make([]byte, 0, end), b.buffered...)
	}
	return b.buffered[len(b.buffered):end]
}

// advance records that n bytes were read into the last space.
func (b *body) advance(n int) {
	if len(b.pieces) > 0 {
		b.inPieces += n
		return
	}
	b.buffered = b.buffered[:len(b.buffered)+n]
}

// parts yields what is buffered, in order, in parts of at most pieceBytes.
func (b *body) parts(yield func([]byte) bool) {
	for part := range slices.Chunk(b.buffered, pieceBytes) {
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

// join moves all that is buffered into one slice, so that it can be parsed.
func (b *body) join() {
	if len(b.pieces) == 0 {
		return
	}
	all := make([]byte, 0, b.size())
	for part := range b.parts {
		all = append(all, part...)
	}
	b.buffered = all
	b.freePieces()
}

func (b *body) freePieces() {
	for i, p := range b.pieces {
		freePieces.Put(p)
		b.pieces[i] = nil
	}
	b.pieces, b.inPieces = b.pieces[:0], 0
}

// release frees the memory of a body that will not be sent again.
func (b *body) release(m *replayMemory) {
	b.freePieces()
	m.release(b.reserved)
	b.reserved = 0
}
