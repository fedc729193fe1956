package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// connReadBytes is also the limit for the head of an answer.
	connReadBytes  = 16 << 10
	connWriteBytes = 8 << 10

	// earlyAnswerWait is how long an upstream that stopped reading a body has to
	// say why.
	earlyAnswerWait = time.Second
	// lookEvery is how often a call that waits for WeChat looks whether its app is
	// still there.
	lookEvery = time.Second
	// maxInformational is how many 1xx answers may come before the final one.
	maxInformational = 8
)

var (
	errInformational = errors.New("too many 1xx answers")
	errSwitched      = errors.New("unasked switch of protocols")
	// errAppGone says that the app left before the answer began.
	errAppGone = errors.New("the app closed its connection")
)

// conn is one connection to an upstream host. One call uses it at a time.
type conn struct {
	nc   net.Conn
	host *host
	br   *bufio.Reader
	bw   *bufio.Writer
	now  func() time.Time

	ends     time.Time // when it is too old
	lastUsed time.Time
	reused   bool
	got      bool // a byte of the present answer came
	wrote    bool // some of the present call may have left

	gate   *gate           // between TLS and the network; nil without TLS
	way    *tls.Conn       // with upstream.proxy; nil without TLS there
	socket syscall.RawConn // below nc; nil where there is none to look at
	look   func(uintptr)   // sees whether the socket is silent
	silent bool            // what look saw

	// streaming says that a body moves: its deadline is renewed as it does, next
	// when that is due, so that idle without a byte ends it. Otherwise the head of
	// an answer is awaited, up to until, for app.
	streaming bool
	idle      time.Duration
	next      time.Time
	until     time.Time
	app       deadliner
}

func newConn(nc net.Conn, h *host, now func() time.Time, jitter time.Duration) *conn {
	c := &conn{nc: nc, host: h, now: now, ends: now().Add(connAge - jitter), idle: idleTimeout}
	c.br = bufio.NewReaderSize(c, connReadBytes)
	c.bw = bufio.NewWriterSize(c, connWriteBytes)
	if tc, ok := nc.(*tls.Conn); ok {
		c.gate, _ = tc.NetConn().(*gate)
	}
	c.way = tlsOfProxy(nc, c.gate)
	c.socket = socketOf(nc)
	c.look = func(fd uintptr) { c.silent = silent(fd) } // made once, as it is needed for each call
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
		if err = c.lookUp(err); err != nil {
			return 0, err
		}
		n, err = c.nc.Read(p)
	}
	c.got = c.got || n > 0
	return n, err
}

// Write implements [io.Writer] for the connection's buffer, and notes whether anything
// of the call left. A failed write over TLS does not tell: a part of a record that it
// counts as nothing is on its way.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.nc.Write(p)
	c.wrote = c.wrote || n > 0 || c.gate != nil
	return n, err
}

// await gives the upstream until timeout from now to take the call and to answer
// with a head. Reads end earlier, for lookUp.
func (c *conn) await(timeout time.Duration) error {
	now := c.now()
	c.streaming, c.until = false, now.Add(timeout)
	if err := c.nc.SetWriteDeadline(c.until); err != nil {
		return err
	}
	return c.nc.SetReadDeadline(now.Add(min(timeout, lookEvery)))
}

// lookUp lets the reading that ended with that timeout go on, unless the time is
// up or nobody waits for the answer any more.
func (c *conn) lookUp(timeout error) error {
	now := c.now()
	switch left := c.until.Sub(now); {
	case left <= 0:
		return timeout
	case c.app != nil && hasLeft(c.app.Conn()):
		return errAppGone
	default:
		return c.nc.SetReadDeadline(now.Add(min(left, lookEvery)))
	}
}

// stream makes each read and write renew the deadline from now on.
func (c *conn) stream() { c.streaming, c.next = true, time.Time{} }

// progress gives the connection another idle time to move. A sixtieth of that is
// often enough.
func (c *conn) progress() error {
	now := c.now()
	if now.Before(c.next) {
		return nil
	}
	c.next = now.Add(c.idle / 60)
	return c.nc.SetDeadline(now.Add(c.idle))
}

func (c *conn) close() { _ = c.nc.Close() }

// exchange sends the call and reads the head of the answer. It sets r.sent if anything
// of the call left.
func (c *conn) exchange(r *request, query []byte, resp *fasthttp.Response, timeout time.Duration) error {
	c.got, c.wrote, c.streaming, c.app = false, false, false, r.body.conn
	defer func() { r.sent = r.sent || c.wrote }()
	if err := c.await(timeout); err != nil {
		return err
	}
	err := c.send(r, query, timeout)
	if err == nil {
		return c.readHead(resp)
	}
	if errors.Is(err, errAppBody) || r.body.short() {
		return err
	}
	// An upstream that refuses an upload answers and closes before its end.
	c.ends = time.Time{}
	if c.await(earlyAnswerWait) != nil || c.readHead(resp) != nil {
		return err
	}
	return nil
}

// send writes the call's head, with the query given, and its body.
func (c *conn) send(r *request, query []byte, timeout time.Duration) error {
	w := c.bw
	_, _ = w.Write(r.method)
	_ = w.WriteByte(' ')
	_, _ = w.Write(r.path)
	if len(query) > 0 {
		_ = w.WriteByte('?')
		_, _ = w.Write(query)
	}
	_, _ = w.WriteString(" HTTP/1.1\r\nHost: ")
	_, _ = w.WriteString(c.host.name)
	// Only what is not encoded can be looked at.
	_, _ = w.WriteString("\r\nAccept-Encoding: identity\r\n")
	_, _ = w.Write(r.headers)
	if err := c.writeFraming(r.body.length); err != nil {
		return err
	}
	if r.body.short() {
		_, _ = w.Write(r.body.kept)
		return w.Flush()
	}
	c.stream()
	if err := r.body.writeTo(w, c.progress); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return c.await(timeout)
}

// writeFraming ends the head. The buffer remembers an earlier error of its own.
func (c *conn) writeFraming(length int) error {
	w := c.bw
	if length >= 0 {
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
	// fasthttp calls every error before the first byte an end.
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
			c.stream()
			return nil
		}
	}
	return errInformational
}
