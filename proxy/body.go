package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
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
	// length is the Content-Length, lengthChunked or lengthNone. A body that is whole
	// has a length.
	length int
	// kept is what was read, or the first shortBytes of it; the other inPieces bytes
	// lie in pieces. whole says that it is the whole body, so that the call can be
	// sent again.
	kept     []byte
	pieces   []*piece
	inPieces int
	whole    bool
	// notKept says why it is not the whole body.
	notKept  string
	reserved int     // bytes taken from the replay memory
	probe    [1]byte // the next byte of a chunked body, for which there is no room yet

	src  io.Reader // from the app's connection; only Read uses it
	conn deadliner
	now  func() time.Time
	next time.Time // when the deadline is due to be renewed
	sent bool      // part of src went to an upstream
	read bool      // src was read to its end
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

// ended reports whether the app has nothing more to send of the body.
func (b *body) ended() bool { return b.conn != nil && (b.whole || b.read || b.preread()) }

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
	b.read = b.read || errors.Is(err, io.EOF)
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

// discard reads on where a call was answered before its body had come, so that the
// app, which sends it before it reads, hears the answer instead of a reset.
func (b *body) discard() {
	if b.conn.SetReadDeadline(b.now().Add(discardTime)) != nil {
		return
	}
	buf := freePieces.Get().(*piece)
	defer freePieces.Put(buf)
	for left := discardBytes; left > 0; {
		n, err := b.src.Read(buf[:])
		if err != nil {
			b.read = errors.Is(err, io.EOF)
			return
		}
		left -= n
	}
}

// short reports whether the body goes out at once. A longer one takes its time, kept
// or not, and the upstream may refuse it before its end.
func (b *body) short() bool {
	return b.whole && len(b.pieces) == 0 && len(b.kept) <= pieceBytes
}

// replayable reports whether the call can be sent (again).
func (b *body) replayable() bool { return b.whole || !b.sent }

// errAppBody marks an error that came from the app's side while its body was
// passed on.
var errAppBody = errors.New("read the app's body")

// writeTo writes the body: what is kept from where it lies, or all length bytes of
// it through a pooled buffer as they come. progress is called before each piece.
func (b *body) writeTo(w *bufio.Writer, progress func() error) error {
	if b.whole {
		return b.writeKept(w, progress)
	}
	b.sent = true
	buf := freePieces.Get().(*piece)
	defer freePieces.Put(buf)
	for left := b.length; left > 0; {
		n, err := b.Read(buf[:])
		if n > 0 {
			if e := progress(); e != nil {
				return e
			}
			if _, e := w.Write(buf[:n]); e != nil {
				return e
			}
			left -= n
		}
		if err != nil && left > 0 {
			return errors.Join(errAppBody, err)
		}
	}
	b.read = true
	return nil
}

func (b *body) writeKept(w *bufio.Writer, progress func() error) error {
	for part := range b.parts {
		if err := progress(); err != nil {
			return err
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
