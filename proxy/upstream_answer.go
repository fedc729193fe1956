package proxy

import (
	"errors"
	"net/http/httputil"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// bufferBytes is the longest answer that is buffered to be inspected. A longer one
	// streams.
	bufferBytes = 64 << 10
	// maskBytes is the same for answers from which secrets are removed: those of
	// some calls, and all errors and redirects.
	maskBytes = 1 << 20
	// http10BufferBytes is the same for an answer of unknown length to an HTTP/1.0
	// client, which cannot read chunks.
	http10BufferBytes = 32 << 20

	maxTrailerBytes = 8 << 10
)

// errCut says that an answer was truncated.
var errCut = errors.New("the answer of the upstream broke off")

// receive reads the body of the answer whose head is in resp. A body of at most limit
// bytes goes into resp, and the caller is then to release the connection. A longer one is
// returned as a stream, which does so itself. A truncated body is an error, and the
// connection is then closed.
func (u *upstream) receive(r *request, c *conn, resp *fasthttp.Response, limit int) (*stream, error) {
	h := &resp.Header
	length := h.ContentLength()
	c.reusable = !h.ConnectionClose()
	stripHead(h, &r.injected)
	if r.isHead() || bodyless(h.StatusCode()) {
		resp.ResetBody() // an earlier attempt may have left one
		return nil, nil
	}
	if length >= 0 && length <= limit {
		if err := resp.ReadBody(c.br, 0); err != nil {
			c.close()
			return nil, errCut
		}
		return nil, nil
	}
	st := &stream{u: u, c: c, src: c.br, remaining: int64(length)}
	if length == lengthChunked {
		st.src = &chunkReader{Reader: httputil.NewChunkedReader(c.br), br: c.br}
	}
	if length >= 0 {
		return st, nil
	}
	if !r.http11 {
		limit = http10BufferBytes
	}
	return st.buffer(resp, limit)
}

// bufferedBody returns the body that was read into resp. It must not be called for an
// answer that streams.
func bufferedBody(resp *fasthttp.Response) []byte {
	return resp.Body() //nolint:forbidigo // no stream was set: these are the bytes read
}

func bodyless(status int) bool {
	return status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
}

// release ends the use of a connection for a call, whose answer has come by now.
func (u *upstream) release(c *conn, now time.Time) {
	if c.reusable {
		c.host.pool.put(c, now)
	} else {
		c.close()
	}
}

// stripHead removes from an answer's head the hop-by-hop headers, those that are ours,
// the framing of another protocol version, and whatever repeats an injected secret.
func stripHead(h *fasthttp.ResponseHeader, not *injected) {
	connection, other := headersToStrip(h, not)
	if connection != nil {
		if !isPlainConnection(connection) {
			dropListed(h)
		}
		h.DelBytes(connectionName)
	}
	for ; other != nil; _, other = headersToStrip(h, not) {
		h.DelBytes(other)
	}
	if not.foundIn(h.StatusMessage()) {
		h.SetStatusMessage(nil)
	}
	if string(h.Protocol()) != "HTTP/1.1" {
		h.SetProtocol(protocol11)
	}
}

var protocol11 = []byte("HTTP/1.1")

// headersToStrip returns a value of Connection, one that names headers if there is such a one,
// and the name of one other header to strip. Nearly all answers have just a Connection that names
// none, so that one pass finds what there is.
func headersToStrip(h *fasthttp.ResponseHeader, not *injected) (connection, other []byte) {
	for name, value := range h.All() {
		switch c, _ := classify(name); {
		case c == classConnection && (connection == nil || !isPlainConnection(value)):
			connection = value
		case c == classConnection:
		case c == classDrop || c == classOurs || c == classAppID || c == classComponent || c == classKey || c == classCredentials,
			not.foundIn(value):
			other = name
		}
	}
	return connection, other
}

var connectionName = []byte(fasthttp.HeaderConnection)

// isPlainConnection reports whether a value of Connection names no header.
func isPlainConnection(value []byte) bool {
	return equalFold(value, "keep-alive") || equalFold(value, "close")
}

// dropListed removes the headers that a Connection line names.
func dropListed(h *fasthttp.ResponseHeader) {
	for name := listedHeader(h); name != ""; name = listedHeader(h) {
		h.Del(name)
	}
}

// listedHeader returns a header that a Connection line names, or nothing.
func listedHeader(h *fasthttp.ResponseHeader) string {
	for connection, names := range h.All() {
		if c, _ := classify(connection); c != classConnection || isPlainConnection(names) {
			continue
		}
		for name := range h.All() {
			if c, _ := classify(name); c != classFraming && c != classConnection && lists(names, name) {
				return string(name)
			}
		}
	}
	return ""
}
