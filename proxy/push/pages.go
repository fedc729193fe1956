package push

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"
)

const (
	// pageTime is how long a page may take, which includes calls to WeChat.
	pageTime = 20 * time.Second
	// maxPages is how many pages are made at once. A flood of visitors then holds no more
	// memory than that, and none that pushes need.
	maxPages = 64
)

// busy is the answer to a visitor while maxPages are made.
var busy = answer{status: http.StatusServiceUnavailable, body: "Too many visitors at once. Load the page again in a moment.\n"}

// isPage reports whether a merchant's browser asks for a page of a configured component.
func (s *Server) isPage(r *request) bool {
	to, known := r.target()
	keys := (*s.keys.Load())[to.id]
	return s.pages != nil && known && (to.what == "authorize" || to.what == "authorized") && to.account == "" &&
		(r.method == http.MethodGet || r.method == http.MethodHead) && keys != nil && !keys.account
}

// servePage answers with a page. The connection is closed afterwards, as after a refusal:
// a visitor has brought no valid push.
func (s *Server) servePage(c *conn, r *request) {
	select {
	case s.making <- struct{}{}:
	default:
		s.answerAndClose(c, busy)
		return
	}
	s.writePage(c, r)
	s.discardRest(c)
}

// writePage makes a page and writes it, in one of the places of maxPages.
func (s *Server) writePage(c *conn, r *request) {
	defer func() { <-s.making }()
	ctx, cancel := context.WithTimeout(s.base, pageTime)
	defer cancel()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.head)))
	if err != nil {
		c.answer(refused, nil, false)
		return
	}
	req.Body, req.RemoteAddr = http.NoBody, r.remote
	p := &page{header: http.Header{}, status: http.StatusOK}
	s.pages.ServeHTTP(p, req.WithContext(ctx))
	if c.SetWriteDeadline(c.now().Add(writeTime)) == nil {
		_, _ = c.Write(p.bytes(r.method == http.MethodHead)) // the visitor has left if it fails
	}
}

// page is a page that is being made.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements [http.ResponseWriter].
func (p *page) WriteHeader(status int) { p.status = status }

// Write implements [http.ResponseWriter].
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

// bytes returns the page as it is sent.
func (p *page) bytes(headOnly bool) []byte {
	p.header.Set("Content-Length", strconv.Itoa(p.body.Len()))
	p.header.Set("Connection", "close")
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(p.status) + " " + http.StatusText(p.status) + "\r\n")
	_ = p.header.Write(&b) // a buffer does not fail
	b.WriteString("\r\n")
	if !headOnly {
		b.Write(p.body.Bytes())
	}
	return b.Bytes()
}
