package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// idleTimeout ends a transfer that stands still, in either direction. It says
// nothing about how long one may last.
const idleTimeout = time.Minute

// prereadBytes is how much of a body fasthttp has read before we are called.
const prereadBytes = 8 << 10

// What of a body nobody wants is read nonetheless: somewhat more than WeChat takes
// in one call, and for how long.
const (
	discardBytes = 32 << 20
	discardTime  = 10 * time.Second
)

const (
	lengthChunked = -1
	lengthNone    = -2
)

// The reasons, in X-Wxsidecar-Replay, for which a call cannot be sent twice.
const (
	replayTooLarge = "body-too-large"
	replayNoMemory = "memory-used-up"
)

// body is the body of a request: what was read of it, and where the rest comes
// from.
type body struct {
	// length is the Content-Length, lengthChunked or lengthNone.
	length int
	// kept is what was read. whole says that it is the whole body, so that the
	// call can be sent again.
	kept  []byte
	whole bool
	// notKept says why it is not the whole body.
	notKept  string
	reserved int // bytes taken from the replay memory

	src  io.Reader // from the app's connection; only Read uses it
	conn deadliner
	now  func() time.Time
	next time.Time // when the deadline is due to be renewed
	sent bool      // part of src went to an upstream
}

// deadliner is the app's connection, as far as a body needs it.
type deadliner interface {
	Conn() net.Conn
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// open sets where the body comes from; a nil src is the empty body.
func (b *body) open(src io.Reader, conn deadliner, length int, now func() time.Time) {
	b.length, b.src, b.conn, b.now = length, src, conn, now
	b.whole = src == nil || length == 0
}

// preread reports whether fasthttp has read the whole body already.
func (b *body) preread() bool { return b.length >= 0 && b.length <= prereadBytes }

// Read reads from the app's connection. A stall ends it; once a second is often
// enough to renew the deadline.
func (b *body) Read(p []byte) (int, error) {
	if err := b.renew(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	if errors.Is(err, io.EOF) && b.length == lengthChunked {
		err = brokeOff(b.conn.Conn())
	}
	return n, err
}

func (b *body) renew() error {
	if b.preread() {
		return nil
	}
	now := b.now()
	if now.Before(b.next) {
		return nil
	}
	b.next = now.Add(time.Second)
	return b.conn.SetReadDeadline(now.Add(idleTimeout))
}

// memory is what all calls together may keep of their bodies.
type memory struct {
	used  atomic.Int64
	limit int64
}

func (m *memory) take(n int) bool {
	if m.used.Add(int64(n)) <= m.limit {
		return true
	}
	m.used.Add(-int64(n))
	return false
}

func (m *memory) give(n int) {
	if n > 0 {
		m.used.Add(-int64(n))
	}
}

// keep reads the body into memory if it has at most limit bytes, so that the call
// can be sent again. What is longer stays a stream.
func (b *body) keep(limit int, m *memory) *fault {
	if b.whole {
		return nil
	}
	n := b.length
	if n == lengthChunked {
		n = limit + 1 // one more shows that it is longer
	}
	switch {
	case b.length > limit:
		b.notKept = replayTooLarge
		return nil
	case !m.take(n):
		b.notKept = replayNoMemory
		return nil
	}
	b.reserved = n
	return b.fill(n)
}

// fill reads up to n bytes, growing with what comes.
func (b *body) fill(n int) *fault {
	if b.length > cap(b.kept) {
		b.kept = make([]byte, 0, b.length)
	}
	for len(b.kept) < n {
		if len(b.kept) == cap(b.kept) {
			b.kept = append(b.kept, make([]byte, max(1024, len(b.kept)))...)[:len(b.kept)]
		}
		got, err := b.Read(b.kept[len(b.kept):min(cap(b.kept), n)])
		b.kept = b.kept[:len(b.kept)+got]
		if errors.Is(err, io.EOF) && (b.length == lengthChunked || len(b.kept) == n) {
			break
		}
		if err != nil {
			return bodyIncomplete()
		}
	}
	if b.length == lengthChunked && len(b.kept) == n {
		b.notKept = replayTooLarge
		return nil
	}
	b.whole, b.length = true, len(b.kept)
	return nil
}

// discard reads on where a call was answered before its body had come, so that the
// app, which sends it before it reads, hears the answer instead of a reset.
func (b *body) discard() {
	if b.conn.SetReadDeadline(b.now().Add(discardTime)) != nil {
		return
	}
	piece := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(piece)
	for left := discardBytes; left > 0; {
		n, err := b.src.Read(piece[:])
		if err != nil {
			return
		}
		left -= n
	}
}

// short reports whether the body goes out at once. A longer one takes its time, kept
// or not, and the upstream may refuse it before its end.
func (b *body) short() bool { return b.whole && len(b.kept) <= pieceBytes }

// replayable reports whether the call can be sent (again).
func (b *body) replayable() bool { return b.whole || !b.sent }

// errAppBody marks an error that came from the app's side while its body was
// passed on.
var errAppBody = errors.New("read the app's body")

// writeTo writes the body, in the framing that length announces: what is kept from
// where it lies, the rest through a pooled buffer. progress is called before each
// piece.
func (b *body) writeTo(w *bufio.Writer, progress func() error) error {
	if b.whole {
		return b.writeKept(w, progress)
	}
	b.sent = true
	if len(b.kept) > 0 {
		if err := writePiece(w, b.kept, b.length == lengthChunked); err != nil {
			return err
		}
	}
	buf := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(buf)
	for left := b.length - len(b.kept); b.length == lengthChunked || left > 0; {
		n, err := b.Read(buf[:])
		if n > 0 {
			if e := progress(); e != nil {
				return e
			}
			if e := writePiece(w, buf[:n], b.length == lengthChunked); e != nil {
				return e
			}
			left -= n
		}
		if errors.Is(err, io.EOF) && (b.length == lengthChunked || left == 0) {
			break
		}
		if err != nil {
			return errors.Join(errAppBody, err)
		}
	}
	if b.length == lengthChunked {
		_, err := w.WriteString("0\r\n\r\n")
		return err
	}
	return nil
}

func (b *body) writeKept(w *bufio.Writer, progress func() error) error {
	for piece := range slices.Chunk(b.kept, pieceBytes) {
		if err := progress(); err != nil {
			return err
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

const pieceBytes = 32 << 10

var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

func writePiece(w *bufio.Writer, p []byte, chunked bool) error {
	if chunked {
		head := strconv.AppendUint(w.AvailableBuffer(), uint64(len(p)), 16)
		if _, err := w.Write(append(head, '\r', '\n')); err != nil {
			return err
		}
	}
	_, err := w.Write(p)
	if chunked && err == nil {
		_, err = w.WriteString("\r\n")
	}
	return err
}
