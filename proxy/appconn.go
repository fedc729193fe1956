package proxy

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// appConn is a connection of an app that remembers whether it ended. fasthttp
// ends a chunked body with io.EOF both at its last chunk and where the connection
// breaks off between two chunks; a body that broke off must not be passed on as a
// whole one.
type appConn struct {
	net.Conn
	now   func() time.Time
	ended bool
	// unread says that the app may be sending what nobody has read yet. fasthttp closes
	// idle connections from another goroutine.
	unread atomic.Bool
	// inside says that it came through a CONNECT, which showed the caller's key or
	// proxy credentials, if any.
	inside           bool
	key, credentials []byte
}

// Read implements [net.Conn].
func (c *appConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended = c.ended || err != nil
	return n, err
}

// Close implements [net.Conn]. Closing a connection on which something lies unread
// resets it, and the app loses the answer that it has not read yet. So our direction is
// closed first, and what still comes is read, unparsed, until the app closes as well.
func (c *appConn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if c.unread.Load() && ok && half.CloseWrite() == nil && c.SetReadDeadline(c.now().Add(discardTime)) == nil {
		_, _ = io.Copy(struct{ io.Writer }{io.Discard}, c.Conn) // however it ends
	}
	return c.Conn.Close()
}

// leaveUnread says whether the app may be sending what is not read before the answer.
func leaveUnread(c net.Conn, unread bool) {
	if a, ok := c.(*appConn); ok {
		a.unread.Store(unread)
	}
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
	return &appConn{Conn: c, now: l.now}, nil
}

// brokeOff reports whether the connection ended, when the body that came over it
// claims to be whole.
func brokeOff(c net.Conn) error {
	if a, ok := c.(*appConn); ok && a.ended {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}
