package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// bufferBytes is how much of an answer is held to be looked at; what is longer
	// streams.
	bufferBytes = 64 << 10
	// captureBytes is the same for the answers out of which we take secrets: those of
	// some calls, and all errors and redirects.
	captureBytes = 1 << 20
	// oldBufferBytes is the same for an answer of unknown length to an HTTP/1.0
	// client, which cannot read chunks.
	oldBufferBytes = 32 << 20

	maxTrailerBytes = 8 << 10
)

// errCut says that an answer ended before its end.
var errCut = errors.New("the answer of the upstream broke off")

// receive reads the body of the answer whose head stands in resp: into resp if it
// has at most limit bytes, and the connection is then free again; else as a
// stream. A body that breaks off is an error.
func (u *upstream) receive(r *request, c *conn, resp *fasthttp.Response, limit int) (*stream, error) {
	h := &resp.Header
	length := h.ContentLength()
	reusable := !h.ConnectionClose()
	cleanHead(h, &r.hidden)
	if r.isHead() || bodyless(h.StatusCode()) {
		resp.ResetBody() // an earlier attempt may have left one
		u.release(c, reusable)
		return nil, nil
	}
	if length >= 0 && length <= limit {
		if err := resp.ReadBody(c.br, 0); err != nil {
			c.close()
			return nil, errCut
		}
		u.release(c, reusable)
		return nil, nil
	}
	st := &stream{u: u, c: c, src: c.br, left: int64(length), reusable: reusable}
	if length == lengthChunked {
		st.src = &chunkReader{Reader: httputil.NewChunkedReader(c.br), br: c.br}
	}
	if length >= 0 {
		return st, nil
	}
	if !r.http11 {
		limit = oldBufferBytes
	}
	return st.buffer(resp, limit)
}

// held returns the body that was read into resp, which is none that streams.
func held(resp *fasthttp.Response) []byte {
	return resp.Body() //nolint:forbidigo // no stream was set: these are the bytes read
}

func bodyless(status int) bool {
	return status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
}

func (u *upstream) release(c *conn, reusable bool) {
	if reusable {
		c.host.pool.put(c, u.now())
	} else {
		c.close()
	}
}

// cleanHead takes out of an answer's head what is hop-by-hop, ours, the framing of
// a protocol version that is not the app's, or repeats what was sent in secret.
func cleanHead(h *fasthttp.ResponseHeader, not *hidden) {
	if names := h.Peek(fasthttp.HeaderConnection); len(names) > 0 {
		dropListed(h, names)
	}
	for name := notForApp(h, not); name != nil; name = notForApp(h, not) {
		h.DelBytes(name)
	}
	if not.in(h.StatusMessage()) {
		h.SetStatusMessage(nil)
	}
	if !h.IsHTTP11() || len(h.Protocol()) > 0 {
		h.SetProtocol(protocol11)
	}
}

var protocol11 = []byte("HTTP/1.1")

func notForApp(h *fasthttp.ResponseHeader, not *hidden) []byte {
	for name, value := range h.All() {
		if not.in(value) {
			return name
		}
		switch c, _ := classify(name); c {
		case classDrop, classOurs, classAppID, classKey, classCredentials, classConnection:
			return name
		}
	}
	return nil
}

func dropListed(h *fasthttp.ResponseHeader, names []byte) {
	if equalFold(names, "keep-alive") || equalFold(names, "close") {
		return
	}
	for h.Del(fasthttp.HeaderConnection); ; {
		found := ""
		for name := range h.All() {
			if c, _ := classify(name); c != classFraming && lists(names, name) {
				found = string(name)
				break
			}
		}
		if found == "" {
			return
		}
		h.Del(found)
	}
}

// stream is the body of an answer that passes through. Its end is sticky: a
// reader that comes again must not touch a connection that serves another call.
type stream struct {
	u        *upstream
	c        *conn
	src      io.Reader
	left     int64 // for a body of known length
	prefix   []byte
	err      error
	reusable bool
	deadline func(time.Time) // renews the deadline of the app's connection
	next     time.Time       // when that is due
	done     func(error)     // called once, with nil for a whole body
}

// buffer reads up to limit bytes of a body of unknown length into resp. Nil means
// that this was all of it; else what was read becomes the stream's beginning.
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
			st.u.release(st.c, st.reusable)
			return nil, nil
		case err != nil:
			st.c.close()
			return nil, errCut
		case size > limit:
			st.prefix = bytes.Clone(held(resp))
			return st, nil
		}
	}
}

// Read implements [io.Reader]. A body that breaks off ends in an error, never in
// io.EOF.
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
	if st.left >= 0 {
		if st.left == 0 {
			st.err = io.EOF
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), st.left)]
	}
	n, err := st.src.Read(p)
	if st.left >= 0 {
		st.left -= int64(n)
		switch {
		case st.left == 0:
			err = io.EOF
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
	}
	st.err = err
	return n, err
}

// renew gives the app another idleTimeout to take what comes; once a second is
// often enough.
func (st *stream) renew() {
	if st.deadline == nil {
		return
	}
	if now := st.u.now(); !now.Before(st.next) {
		st.next = now.Add(time.Second)
		st.deadline(now.Add(idleTimeout))
	}
}

// Close gives the connection back if the body was read to its end, else closes
// it, so that the upstream learns that nobody reads on.
func (st *stream) Close() error {
	if st.c == nil {
		return nil
	}
	whole := errors.Is(st.err, io.EOF)
	st.u.release(st.c, st.reusable && whole)
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

// chunkReader reads a chunked body with its trailer, which is dropped.
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
