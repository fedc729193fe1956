package push

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// writeTime is how long an answer, which fits in any buffer, may take to leave.
	writeTime = 5 * time.Second
	// What was sent and not read makes the kernel reset a connection that is closed,
	// and its peer miss the answer. So it is read away, of some connections at once,
	// for a while.
	maxLingering = 64
	lingerTime   = 500 * time.Millisecond
	lingerBytes  = 8 << 20
)

// serveConn serves the requests of a connection, one after the other, and closes it.
func (s *Server) serveConn(c *conn) {
	defer s.conns.end(c)
	for s.serveRequest(c) {
	}
}

// serveRequest reads and answers one request. It reports whether another may follow
// on the connection: none does after a refusal, so that holding a connection costs as
// much as opening one. A panic is one 500.
func (s *Server) serveRequest(c *conn) (again bool) {
	h := &holding{lane: s.room.strangers}
	defer h.release()
	r, err := s.readHead(c, h)
	if errors.Is(err, errNothing) {
		return false
	}
	defer func() {
		if p := recover(); p != nil {
			// The value may quote a push; its type and the stack cannot.
			s.log.Error("panic while a push was handled", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			s.metrics.Push("", "panic")
			s.answerLast(c, failed)
			again = false
		}
	}()
	if err != nil {
		s.answerLast(c, s.refuse(&request{remote: c.RemoteAddr().String()}, headRefusal(err)))
		return false
	}
	list, why := s.admit(r)
	if why != nil {
		s.answerLast(c, s.refuse(r, why))
		return false
	}
	push, why := s.take(c, r, list, h)
	if why != nil {
		s.answerLast(c, s.refuse(r, why))
		return false
	}
	h.release()
	s.conns.prove(c)
	a := success
	if push.ID != "" {
		a = s.hand(push, r.signedAt)
	}
	if r.last || r.length == chunked || s.conns.isStopped() {
		s.answerLast(c, a)
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

// take reads and verifies the body of a request that was admitted. A push without an
// ID is one without a body.
func (s *Server) take(c *conn, r *request, list []*msgcrypt.Codec, h *holding) (wechat.Push, *refusal) {
	if r.signed {
		h.lane = s.room.signed
	}
	if r.expects && r.http11 && len(c.ahead) == 0 {
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") // reading fails as well
	}
	body, err := readBody(c, r, h)
	if err != nil {
		return wechat.Push{}, bodyRefusal(err)
	}
	if len(bytes.TrimSpace(body)) == 0 && r.signed {
		// WeChat is known to send such now and then; what is held stays.
		s.log.Warn("push without a body", "remote", r.remote, "component", r.component)
		s.metrics.Push("", "empty")
		return wechat.Push{}, nil
	}
	if len(body) > placeRoom {
		s.verifying.Lock()
		defer s.verifying.Unlock()
	}
	return verify(r, list, body, s.log)
}

// answer is all that ever leaves.
type answer struct {
	status int
	body   string
}

// answer writes a on the connection, and reports whether that went well. again says
// whether the connection stays open; r may be nil where it does not.
func (c *conn) answer(a answer, r *request, again bool) bool {
	b := make([]byte, 0, 160)
	b = append(b, "HTTP/1.1 "+strconv.Itoa(a.status)+" "+http.StatusText(a.status)+"\r\n"...)
	if a.body != "" {
		b = append(b, "Content-Type: text/plain\r\n"...)
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

// answerLast answers the last request of a connection, and reads away what is still
// being sent: the end of a body that was refused or of one in chunks, or more requests.
func (s *Server) answerLast(c *conn, a answer) {
	c.answer(a, nil, false)
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
