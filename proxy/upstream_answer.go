package proxy

import (
	"errors"
	"net/http/httputil"

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
