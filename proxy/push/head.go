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
	// firstRead is what a head is read into at first; most fit.
	firstRead = 1 << 10
	// headTime is how long a head may take, and how long a connection that has
	// brought no valid push may say nothing.
	headTime = 5 * time.Second
	// provenIdle is how long others may: a proxy in front keeps its connections
	// between the pushes of a minute.
	provenIdle = 90 * time.Second
)

var (
	errNothing   = errors.New("the connection ended between requests")
	errHeadLate  = errors.New("the head ended early, or did not come within five seconds")
	errHeadLong  = errors.New("the head is longer than 16 KiB")
	errMalformed = errors.New("it is not HTTP/1")
)

// readHead waits for a request and reads its head. A head is held as it comes, in
// room of h beyond the connection's own. The error is errNothing where no byte of
// one came.
func (s *Server) readHead(c *conn, h *holding) (*request, error) {
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
		if data, err = grow(data, maxHead, h); err != nil {
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
	if n < len(data) {
		c.ahead = bytes.Clone(data[n:])
	}
	return r, nil
}

// firstBytes waits for the first byte of a request, in one byte of memory. Empty
// lines before a request are dropped.
func (s *Server) firstBytes(c *conn) ([]byte, error) {
	idle, may := s.conns.rest(c)
	if !may || c.SetReadDeadline(c.now().Add(idle)) != nil {
		return nil, errNothing
	}
	var first [1]byte
	for first[0] == 0 || first[0] == '\r' || first[0] == '\n' {
		if _, err := io.ReadFull(c, first[:]); err != nil {
			return nil, errNothing
		}
	}
	s.conns.begin(c)
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

// mayBeHTTP tells a method from the first byte of TLS and other protocols, which
// would not send an empty line before the time is over.
func mayBeHTTP(first byte) bool { return 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z' }

// grow makes room for more bytes behind data: twice what it has, and no more than
// limit, so that bytes are held as they come and not as they are announced.
func grow(data []byte, limit int, h *holding) ([]byte, error) {
	if len(data) < cap(data) {
		return data, nil
	}
	if len(data) >= limit {
		return nil, errHeadLong
	}
	size := min(2*cap(data), limit)
	if !h.reserve(size) {
		return nil, errBusy
	}
	return append(make([]byte, 0, size), data...), nil
}
