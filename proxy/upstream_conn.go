package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// connReadBytes is also the limit for the head of an answer.
	connReadBytes = 16 << 10
	// connWriteBytes is how much of a call is sent at once, its head with it.
	connWriteBytes = 8 << 10

	// earlyAnswerWait is how long an upstream that has stopped reading a body may take
	// to answer.
	earlyAnswerWait = time.Second
	// maxInformational is how many 1xx answers may come before the final one.
	maxInformational = 8
)

// Calls are sent and answers read by what is free. That is mostly what was just given back, and so
// in the processor's cache, while one for each connection would not be.
var (
	freeWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, connWriteBytes) }}
	freeReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, connReadBytes) }}
)

var (
	errInformational = errors.New("too many 1xx answers")
	errSwitched      = errors.New("a switch of protocols that was not asked for")
	// errAppGone says that the app left before the answer began.
	errAppGone = errors.New("the app closed its connection")
)

// conn is one connection to an upstream host. One call uses it at a time.
type conn struct {
	nc   net.Conn
	host *host
	br   *bufio.Reader // of the answer that comes; nil while none does
	now  func() time.Time

	expires  time.Time // after it the connection carries no further call
	lastUsed time.Time
	reused   bool
	reusable bool // its answer does not end it
	received bool // a byte of the current answer was read
	sent     bool // a byte of the current call may have been sent

	turn     turn
	turnStep func(fd uintptr) bool // step; made once, as it is needed for each call

	below
	deadlines
}

// below is what lies between a connection and the network.
type below struct {
	pausable *pausableConn   // between TLS and the network; nil without TLS
	proxyTLS *tls.Conn       // with upstream.proxy; nil without TLS there
	socket   syscall.RawConn // nil where there is none to look at
}

func newConn(nc net.Conn, h *host, now func() time.Time, jitter time.Duration) *conn {
	c := &conn{nc: nc, host: h, now: now, expires: now().Add(connAge - jitter), deadlines: deadlines{idle: idleTimeout}}
	if tc, ok := nc.(*tls.Conn); ok {
		if c.pausable, _ = tc.NetConn().(*pausableConn); c.pausable != nil {
			c.pausable.start(tc)
		}
	}
	c.proxyTLS = tlsOfProxy(nc, c.pausable)
	c.socket = socketOf(nc)
	c.turnStep = c.step
	return c
}

// Read implements [io.Reader] for the connection's buffer.
func (c *conn) Read(p []byte) (int, error) {
	if c.streaming {
		if err := c.progress(); err != nil {
			return 0, err
		}
	}
	n, err := c.nc.Read(p)
	for err != nil && n == 0 && !c.streaming && isTimeout(err) {
		if err = c.extendHeadDeadline(err); err != nil {
			return 0, err
		}
		n, err = c.nc.Read(p)
	}
	c.received = c.received || n > 0
	if c.pausable != nil {
		c.pausable.take(n, len(p))
	}
	return n, err
}

// endRead ends the reading of an answer. It reports whether more has come than that.
func (c *conn) endRead() (more bool) {
	if c.br == nil {
		return false
	}
	if c.br.Buffered() > 0 {
		return true
	}
	c.br.Reset(nil)
	freeReaders.Put(c.br)
	c.br = nil
	return false
}

// Write implements [io.Writer], and records whether any of the call was sent. A failed write over
// TLS counts as sent: TLS reports 0 bytes even if a part of the record has left.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.nc.Write(p)
	c.sent = c.sent || n > 0 || c.pausable != nil
	return n, err
}

func (c *conn) close() { _ = c.nc.Close() }

// exchange sends the call and reads the head of the answer. It sets r.sent if any of the
// call may have been sent. now is when it begins. It returns errNotSilent for a kept connection
// that may not carry the call.
func (c *conn) exchange(now time.Time, r *request, query []byte, resp *fasthttp.Response, timeout time.Duration) error {
	c.received, c.sent, c.streaming, c.app = false, false, false, r.body.conn
	defer func() { r.sent = r.sent || c.sent }()
	if c.reused && !c.nothingBuffered() {
		return errNotSilent
	}
	if err := c.setHeadDeadline(now, timeout); err != nil {
		return err
	}
	err := c.sendIfSilent(r, query, timeout)
	if err == nil {
		return c.readHead(resp)
	}
	if errors.Is(err, errNotSilent) || errors.Is(err, errAppBody) || r.body.short() {
		return err
	}
	// An upstream that refuses an upload answers and closes before its end.
	c.expires = time.Time{}
	if c.setHeadDeadline(c.now(), earlyAnswerWait) != nil || c.readHead(resp) != nil {
		return err
	}
	return nil
}

// send writes the call's head, with the query given, and its body.
func (c *conn) send(r *request, query []byte, timeout time.Duration) error {
	w := freeWriters.Get().(*bufio.Writer)
	w.Reset(c)
	err := c.sendBy(w, r, query, timeout)
	w.Reset(nil)
	freeWriters.Put(w)
	return err
}

func (c *conn) sendBy(w *bufio.Writer, r *request, query []byte, timeout time.Duration) error {
	if err := c.writeHead(w, r, query); err != nil {
		return err
	}
	if r.body.short() {
		_, _ = w.Write(r.body.buffered)
		return w.Flush()
	}
	c.setStreaming()
	if err := r.body.writeTo(w, c.progress); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return c.setHeadDeadline(c.now(), timeout)
}

// writeHead writes the head. What cannot be written shows in the end, as w keeps its error.
func (c *conn) writeHead(w *bufio.Writer, r *request, query []byte) error {
	_, _ = w.Write(r.method)
	_ = w.WriteByte(' ')
	_, _ = w.Write(r.path)
	if len(query) > 0 {
		_ = w.WriteByte('?')
		_, _ = w.Write(query)
	}
	_, _ = w.WriteString(" HTTP/1.1\r\nHost: ")
	_, _ = w.WriteString(c.host.name)
	// An encoded answer could not be inspected.
	_, _ = w.WriteString("\r\nAccept-Encoding: identity\r\n")
	_, _ = w.Write(r.headers)
	if r.madeTrace {
		_, _ = w.WriteString("traceparent: ")
		_, _ = w.Write(r.traceparent)
		_, _ = w.WriteString("\r\n")
	}
	if length := r.body.length; length >= 0 {
		_, _ = w.WriteString("Content-Length: ")
		_, _ = w.Write(fasthttp.AppendUint(w.AvailableBuffer(), length))
		_, _ = w.WriteString("\r\n")
	}
	_, err := w.WriteString("\r\n")
	return err
}

// readHead reads the head of the final answer. After it each read renews the
// deadline, since a body may be long.
func (c *conn) readHead(resp *fasthttp.Response) error {
	if c.br == nil {
		c.br = freeReaders.Get().(*bufio.Reader)
		c.br.Reset(c)
	}
	// fasthttp returns io.EOF for every error before the first byte.
	if _, err := c.br.Peek(1); err != nil {
		return err
	}
	for range maxInformational {
		if err := resp.Header.Read(c.br); err != nil {
			return err
		}
		switch code := resp.Header.StatusCode(); {
		case code == fasthttp.StatusSwitchingProtocols:
			return errSwitched
		case code >= fasthttp.StatusOK:
			c.setStreaming()
			return nil
		}
	}
	return errInformational
}
