package push

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

const (
	// writeTime is how long the write of an answer may take, which fits in any buffer.
	writeTime = 5 * time.Second
	// The kernel resets a connection that is closed with unread bytes, and its peer then
	// misses the answer. So those bytes are discarded first, for maxLingering connections
	// at once, up to lingerTime and lingerBytes each.
	maxLingering = 64
	lingerTime   = 500 * time.Millisecond
	lingerBytes  = 8 << 20
)

// serveConn serves the requests of a connection, one after the other, and closes it.
func (s *Server) serveConn(c *conn) {
	defer s.conns.close(c)
	for s.serveRequest(c) {
	}
}

// serveRequest reads and answers one request. It reports whether another may follow on the
// connection. None does after a refusal, so that an attacker has to open a connection for
// each. A panic becomes one 500.
func (s *Server) serveRequest(c *conn) (again bool) {
	mem := &reservation{share: s.budget.unsigned}
	defer mem.release()
	r, err := s.readHead(c, mem)
	if errors.Is(err, errNoRequest) {
		return false
	}
	defer func() {
		if p := recover(); p != nil {
			// The value may quote a push; its type and the stack cannot.
			s.log.Error("panic while a request was handled", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			s.metrics.Push("", "panic")
			s.answerAndClose(c, failed)
			again = false
		}
	}()
	if err != nil {
		s.answerAndClose(c, s.refuse(&request{remote: c.RemoteAddr().String()}, headRefusal(err)))
		return false
	}
	if r.head != nil {
		s.servePage(c, r)
		return false
	}
	to, why := s.admit(r)
	if why != nil {
		s.answerAndClose(c, s.refuse(r, why))
		return false
	}
	handle, why := s.receive(c, r, to, mem)
	if why != nil {
		s.answerAndClose(c, s.refuse(r, why))
		return false
	}
	mem.release()
	s.conns.markVerified(c)
	a := handle()
	if r.closes || r.length == chunked || s.conns.isStopped() {
		s.answerAndClose(c, a)
		return false
	}
	return c.answer(a, r, true)
}

func headRefusal(err error) *refusal {
	if errors.Is(err, errBusy) {
		return bodyRefusal(err)
	}
	return &refusal{cause: "not_a_push", err: err}
}

// receive reads and verifies the body of an admitted request. It returns what is to be done
// with it.
func (s *Server) receive(c *conn, r *request, to endpoint, mem *reservation) (func() answer, *refusal) {
	if to.kind == urlCheck {
		return func() answer { return s.echo(r) }, nil
	}
	if r.signed {
		mem.share = s.budget.signed
	}
	if r.expectsContinue && r.http11 && len(c.ahead) == 0 {
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") // the next read fails as well
	}
	body, err := readBody(c, r, mem)
	if err != nil {
		return nil, bodyRefusal(err)
	}
	if len(bytes.TrimSpace(body)) == 0 && r.signed {
		// WeChat sends such pushes now and then; they change nothing.
		s.log.Warn("push without a body", "remote", r.remote, "component", r.component, "appid", r.account)
		s.metrics.Push("", "empty")
		return func() answer { return success }, nil
	}
	if len(body) > slotBytes {
		s.verifying.Lock()
		defer s.verifying.Unlock()
	}
	push, why := s.open(r, to, body)
	switch {
	case why != nil:
		return nil, why
	case to.kind == messages:
		return s.readMessage(r, push)
	default:
		return s.readEvent(r, push.text)
	}
}

// answer is everything that is ever sent. contentType is text/plain where it is "".
type answer struct {
	status            int
	contentType, body string
}

var (
	success = answer{status: http.StatusOK, body: "success"}
	refused = answer{status: http.StatusForbidden}
	failed  = answer{status: http.StatusInternalServerError}
)

// answer writes a and reports whether that succeeded. again says that the connection stays
// open; r may be nil if it does not.
func (c *conn) answer(a answer, r *request, again bool) bool {
	b := make([]byte, 0, 160+len(a.body))
	b = append(b, "HTTP/1.1 "+strconv.Itoa(a.status)+" "+http.StatusText(a.status)+"\r\n"...)
	if a.body != "" {
		b = append(b, "Content-Type: "+cmp.Or(a.contentType, "text/plain")+"\r\n"...)
	}
	b = append(b, "Content-Length: "+strconv.Itoa(len(a.body))+"\r\n"...)
	switch {
	case !again:
		b = append(b, "Connection: close\r\n"...)
	case !r.http11:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = append(append(b, "\r\n"...), a.body...)
	if err := c.SetWriteDeadline(c.now().Add(writeTime)); err != nil {
		return false
	}
	_, err := c.Write(b)
	return err == nil
}

// answerAndClose answers the last request of a connection, and discards what is still being
// sent: the rest of a body, or more requests. The caller closes the connection.
func (s *Server) answerAndClose(c *conn, a answer) {
	c.answer(a, nil, false)
	s.discardRest(c)
}

// discardRest closes c for writing and discards what is still being sent.
func (s *Server) discardRest(c *conn) {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	select {
	case s.lingering <- struct{}{}:
		defer func() { <-s.lingering }()
	default:
		return
	}
	if c.SetReadDeadline(c.now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c, lingerBytes) // it ends with the peer, or with the time
	}
}
