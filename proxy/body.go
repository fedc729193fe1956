package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"time"
)

// idleTimeout ends a transfer that makes no progress, in either direction. It does not
// bound how long a transfer may last.
const idleTimeout = time.Minute

// prereadBytes is how much of a body fasthttp has read before we are called.
const prereadBytes = 8 << 10

// How much of a refused call's body is read and discarded, and for how long. It is
// somewhat more than WeChat accepts in one call.
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

// body is the body of a request: what was buffered of it, and where the rest comes from.
type body struct {
	// length is the Content-Length, lengthChunked or lengthNone. It is a number of bytes
	// once the body is whole.
	length int
	// buffered is what was read, or the first shortBytes of it; the other inPieces bytes
	// are in pieces. whole says that this is the whole body, so that the call can be sent
	// again.
	buffered []byte
	pieces   []*piece
	inPieces int
	whole    bool
	// notBuffered is why the body could not be buffered whole; empty for no such reason.
	notBuffered string
	reserved    int     // bytes taken from the replay memory
	probe       [1]byte // the next byte of a chunked body, before room for it is reserved

	src  io.Reader // from the app's connection; only Read uses it
	conn net.Conn  // the app's
	now  func() time.Time
	next time.Time // when the deadline is due to be renewed
	sent bool      // part of src was sent to an upstream
	read bool      // src was read to its end
}

// open sets where the body comes from. A nil src is an empty body.
func (b *body) open(src io.Reader, conn net.Conn, length int, now func() time.Time) {
	b.length, b.src, b.conn, b.now = length, src, conn, now
	b.whole = src == nil || length == 0
}

// ended reports whether the app has sent the whole body.
func (b *body) ended() bool { return b.conn != nil && (b.whole || b.read || b.preread()) }

// preread reports whether fasthttp has read the whole body already.
func (b *body) preread() bool { return b.length >= 0 && b.length <= prereadBytes }

// Read reads from the app's connection. It fails after idleTimeout without a byte.
func (b *body) Read(p []byte) (int, error) {
	if err := b.renew(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	if errors.Is(err, io.EOF) && b.length == lengthChunked {
		err = chunkedEnd(b.conn)
	}
	b.read = b.read || errors.Is(err, io.EOF)
	return n, err
}

// renew renews the deadline of reads. Once a second is often enough.
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

// discard reads the rest of the body of a call that has its answer. An app that sends
// the whole body before it reads would otherwise see a reset instead of the answer.
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

// short reports whether the body is sent in one write. A longer one takes time, whether
// it is buffered or not, and the upstream may refuse it before its end.
func (b *body) short() bool {
	return b.whole && len(b.pieces) == 0 && len(b.buffered) <= pieceBytes
}

// replayable reports whether the call can be sent (again).
func (b *body) replayable() bool { return b.whole || !b.sent }

// errAppBody marks an error of the app's connection while its body was being forwarded.
var errAppBody = errors.New("read the app's body")

// writeTo writes the body: the buffered one, or length bytes as they come, through a
// pooled buffer. progress is called before each piece.
func (b *body) writeTo(w *bufio.Writer, progress func() error) error {
	if b.whole {
		return b.writeBuffered(w, progress)
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

func (b *body) writeBuffered(w *bufio.Writer, progress func() error) error {
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
