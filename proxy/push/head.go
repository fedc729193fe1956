package push

import (
	"bytes"
	"errors"
	"io"
	"time"
)

const (
	// maxHead leaves room for the long headers that proxies add.
	maxHead = 16 << 10
	// firstRead is the size of the first buffer for a head; most fit.
	firstRead = 1 << 10
	// headTime is how long a head may take, and how long an unverified connection may be
	// idle.
	headTime = 5 * time.Second
	// verifiedIdle is how long a verified connection may be idle: a proxy in front keeps
	// its connections between the pushes of a minute.
	verifiedIdle = 90 * time.Second
)

var (
	errNoRequest = errors.New("the connection ended between requests")
	errHeadLate  = errors.New("the head ended early, or did not come within five seconds")
	errHeadLong  = errors.New("the head is longer than 16 KiB")
	errMalformed = errors.New("it is not HTTP/1")
)

// readHead waits for a request and reads its head. Memory is reserved as bytes arrive. The
// error is errNoRequest if the connection ended before the first byte.
func (s *Server) readHead(c *conn, mem *reservation) (*request, error) {
	data, err := s.firstBytes(c)
	if err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(c.now().Add(headTime)); err != nil {
		return nil, errHeadLate
	}
	for from := 0; !headEnds(data, from); {
		if from = max(len(data)-2, 0); !mayBeHTTP(data[0]) {
			return nil, errMalformed
		}
		if data, err = grow(data, maxHead, mem); err != nil {
			return nil, err
		}
		n, err := c.Read(data[len(data):cap(data)])
		if data = data[:len(data)+n]; err != nil {
			return nil, errHeadLate
		}
	}
	r, n, err := parseHead(data, c.RemoteAddr().String())
	if err != nil {
		return nil, errMalformed
	}
	if s.isPage(r) {
		r.head = data[:n]
	}
	if n < len(data) {
		c.ahead = bytes.Clone(data[n:])
	}
	r.readAt = c.now()
	return r, nil
}

// firstBytes waits for the first byte of a request with one byte of memory. It drops empty
// lines before the request.
func (s *Server) firstBytes(c *conn) ([]byte, error) {
	idle, may := s.conns.setIdle(c)
	if !may || c.SetReadDeadline(c.now().Add(idle)) != nil {
		return nil, errNoRequest
	}
	var first [1]byte
	for first[0] == 0 || first[0] == '\r' || first[0] == '\n' {
		if _, err := io.ReadFull(c, first[:]); err != nil {
			return nil, errNoRequest
		}
	}
	s.conns.setActive(c)
	return append(make([]byte, 0, firstRead), first[0]), nil
}

// headEnds reports whether an empty line begins at from or behind it.
func headEnds(data []byte, from int) bool {
	for {
		i := bytes.IndexByte(data[from:], '\n')
		if i < 0 {
			return false
		}
		from += i + 1
		if rest := data[from:]; bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n")) {
			return true
		}
	}
}

// mayBeHTTP reports whether first can begin an HTTP method. TLS and other protocols would
// otherwise hold the connection until the head times out.
func mayBeHTTP(first byte) bool { return 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z' }

// grow makes room for more bytes in data: it doubles the buffer, up to limit. So memory is
// reserved for what has arrived, not for what was announced.
func grow(data []byte, limit int, mem *reservation) ([]byte, error) {
	if len(data) < cap(data) {
		return data, nil
	}
	if len(data) >= limit {
		return nil, errHeadLong
	}
	size := min(2*cap(data), limit)
	if !mem.reserve(size) {
		return nil, errBusy
	}
	return append(make([]byte, 0, size), data...), nil
}
