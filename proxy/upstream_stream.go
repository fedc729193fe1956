package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/valyala/fasthttp"
)

// stream is the body of an answer that is passed through. Its end is sticky: a read after
// it must not touch the connection, which may serve another call by then.
type stream struct {
	u         *upstream
	c         *conn
	src       io.Reader
	remaining int64 // for a body of known length
	prefix    []byte
	err       error
	deadline  func(time.Time) // renews the deadline of the app's connection
	next      time.Time       // when that is due
	done      func(error)     // called once, with nil for a whole body
}

// buffer reads up to limit bytes of a body of unknown length into resp. It returns nil if
// that was the whole body, and the caller is then to release the connection; else the
// stream, which then begins with what was read.
func (st *stream) buffer(resp *fasthttp.Response, limit int) (*stream, error) {
	buf := freePieces.Get().(*piece)
	defer freePieces.Put(buf)
	resp.ResetBody()
	for size := 0; ; {
		n, err := st.Read(buf[:])
		size += n
		resp.AppendBody(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			st.c.close()
			return nil, errCut
		case size > limit:
			st.prefix = bytes.Clone(bufferedBody(resp))
			return st, nil
		}
	}
}

// Read implements [io.Reader]. A truncated body ends in an error, never in io.EOF.
func (st *stream) Read(p []byte) (int, error) {
	if st.err != nil {
		return 0, st.err
	}
	if len(st.prefix) > 0 {
		n := copy(p, st.prefix)
		st.prefix = st.prefix[n:]
		return n, nil
	}
	st.renew()
	if st.remaining >= 0 {
		if st.remaining == 0 {
			st.err = io.EOF
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), st.remaining)]
	}
	n, err := st.src.Read(p)
	if st.remaining >= 0 {
		st.remaining -= int64(n)
		switch {
		case st.remaining == 0:
			err = io.EOF
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
	}
	st.err = err
	return n, err
}

// renew gives the app another idleTimeout to read. Once a second is often enough.
func (st *stream) renew() {
	if st.deadline == nil {
		return
	}
	if now := st.u.now(); !now.Before(st.next) {
		st.next = now.Add(time.Second)
		st.deadline(now.Add(idleTimeout))
	}
}

// Close releases the connection if the body was read to its end, else closes it, so that
// the upstream stops sending.
func (st *stream) Close() error {
	if st.c == nil {
		return nil
	}
	whole := errors.Is(st.err, io.EOF)
	st.c.reusable = st.c.reusable && whole
	st.u.release(st.c, st.u.now())
	st.c = nil
	if st.done != nil {
		if whole {
			st.done(nil)
		} else {
			st.done(errCut)
		}
	}
	return nil
}

// chunkReader reads a chunked body and drops its trailer.
type chunkReader struct {
	io.Reader
	br  *bufio.Reader
	end bool
}

// Read implements [io.Reader].
func (r *chunkReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) && !r.end {
		r.end = true
		err = readTrailer(r.br)
	}
	return n, err
}

// readTrailer reads up to the empty line that ends a chunked body, and returns
// io.EOF there.
func readTrailer(br *bufio.Reader) error {
	for size := 0; size < maxTrailerBytes; {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		if len(line) <= len("\r\n") {
			return io.EOF
		}
		size += len(line)
	}
	return errors.New("the trailer is too long")
}
