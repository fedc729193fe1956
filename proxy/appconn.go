package proxy

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// appConn is an app's connection. It remembers whether a read has failed: fasthttp ends
// a chunked body with io.EOF at its last chunk, and also where the connection ends
// between two chunks. A truncated body must not be forwarded as a whole one.
type appConn struct {
	net.Conn
	now   func() time.Time
	ended bool
	// Deadlines wait until something is read or written under them, which most never see.
	// immediate says that they do not wait: others than the one who reads and writes set
	// them, or the connection below has deadlines of its own.
	reads, writes deadline
	immediate     bool
	// resting says that no byte of the next call has come, begun that one has, and that the
	// time for the rest of its head is to be set.
	resting, begun bool
	// unread says that the app may still be sending. It is atomic because fasthttp closes
	// idle connections from another goroutine.
	unread atomic.Bool
	// intercepted says that the connection came through a CONNECT. key and credentials
	// are those of that CONNECT, if it had any.
	intercepted      bool
	key, credentials []byte
	// last is the head of the last call, and named the account that the last call named by its
	// appid. The next call says the same as a rule.
	last  lastHead
	named *slot
}

// appDeadlineLate is a tenth of the shortest time that an app is given, [discardTime].
const appDeadlineLate = discardTime / 10

// newAppConn returns the app's connection nc, on which the first call is to begin now.
func newAppConn(nc net.Conn, now func() time.Time, immediate bool) *appConn {
	c := &appConn{Conn: nc, now: now, immediate: immediate}
	c.rest(now(), headTimeout)
	return c
}

// appConnOf returns the app's connection of a call: what our listeners accept is one.
func appConnOf(ctx *fasthttp.RequestCtx) *appConn {
	return ctx.Conn().(*appConn) //nolint:forcetypeassert // see above
}

// rest gives the app idle from now to begin the next call, and the answer of the one that ends
// idleTimeout to be written. fasthttp could do that as well, with a clock reading for each.
func (c *appConn) rest(now time.Time, idle time.Duration) {
	// An error shows again at the next read or write.
	_ = c.SetReadDeadline(now.Add(idle))
	_ = c.SetWriteDeadline(now.Add(idleTimeout))
	c.resting = true
}

// Read implements [net.Conn].
func (c *appConn) Read(p []byte) (int, error) {
	if c.begun {
		if err := c.SetReadDeadline(c.now().Add(headTimeout)); err != nil {
			return 0, err
		}
	}
	if t, due := c.reads.due(appDeadlineLate); due {
		if err := c.Conn.SetReadDeadline(t); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	c.ended = c.ended || err != nil
	if c.resting && n > 0 {
		c.resting, c.begun = false, true
	}
	return n, err
}

// Write implements [net.Conn].
func (c *appConn) Write(p []byte) (int, error) {
	if t, due := c.writes.due(appDeadlineLate); due {
		if err := c.Conn.SetWriteDeadline(t); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// SetDeadline implements [net.Conn].
func (c *appConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *appConn) SetReadDeadline(t time.Time) error {
	if c.resting || c.begun { // not in a tunnel, whose deadlines others set
		c.resting, c.begun = false, false
	}
	if c.immediate {
		return c.Conn.SetReadDeadline(t)
	}
	c.reads.wanted = t
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *appConn) SetWriteDeadline(t time.Time) error {
	if c.immediate {
		return c.Conn.SetWriteDeadline(t)
	}
	c.writes.wanted = t
	return nil
}

// setImmediate makes deadlines hold as soon as they are set, for what is no call. Nobody may
// read or write meanwhile.
func (c *appConn) setImmediate() error {
	c.immediate, c.reads, c.writes = true, deadline{}, deadline{}
	c.resting, c.begun = false, false
	return c.Conn.SetDeadline(time.Time{})
}

// Close implements [net.Conn]. The kernel resets a connection that is closed with unread
// bytes, and the app then loses the answer that it has not read yet. So Close first
// closes our direction, and discards what still comes until the app closes as well.
func (c *appConn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if c.unread.Load() && ok && half.CloseWrite() == nil && c.Conn.SetReadDeadline(c.now().Add(discardTime)) == nil {
		_, _ = io.Copy(struct{ io.Writer }{io.Discard}, c.Conn) // however it ends
	}
	return c.Conn.Close()
}

// appListener accepts appConns. Keep-alive probes are on already: Go's listeners
// set them.
type appListener struct {
	net.Listener
	now func() time.Time
}

// Accept implements [net.Listener].
func (l appListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newAppConn(c, l.now, false), nil
}

// chunkedEnd returns the error with which a chunked body ends for which fasthttp has
// returned io.EOF: io.ErrUnexpectedEOF if the connection itself has ended.
func chunkedEnd(c net.Conn) error {
	if a, ok := c.(*appConn); ok && a.ended {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}
