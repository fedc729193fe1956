package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// usable reports whether an idle connection may carry another call: its peer has
// neither closed it nor sent anything. An unsolicited answer would otherwise be taken
// for the answer to the next call, which may be another account's.
func (c *conn) usable() bool {
	if c.pausable != nil && !c.pausable.noInput(c.nc) || c.proxyTLS != nil && !noInputTLS(c.proxyTLS) {
		return false
	}
	if c.socket == nil {
		return true
	}
	c.noInput = false
	return c.socket.Control(c.checkInput) == nil && c.noInput
}

// tlsOfProxy returns the TLS connection to upstream.proxy, which is nc or lies below p;
// nil where there is none.
func tlsOfProxy(nc net.Conn, p *pausableConn) *tls.Conn {
	if p != nil {
		nc = p.Conn
	}
	tc, _ := nc.(*tls.Conn)
	return tc
}

// noInputTLS is pausableConn.noInput for a TLS connection without a pausableConn below.
// A deadline in the past keeps it from reading from the network.
func noInputTLS(c *tls.Conn) bool {
	var one [1]byte
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	n, err := c.Read(one[:])
	return n == 0 && isTimeout(err) && c.SetReadDeadline(time.Time{}) == nil
}

// pausableConn is the connection below TLS; its reads can be paused. TLS reads ahead:
// what follows an answer in the same packet may lie in TLS's own buffer, where polling
// the socket does not see it.
type pausableConn struct {
	net.Conn
	paused bool
	one    [1]byte
}

// NetConn returns the connection below.
func (p *pausableConn) NetConn() net.Conn { return p.Conn }

// Read implements [net.Conn].
func (p *pausableConn) Read(b []byte) (int, error) {
	if p.paused {
		return 0, errReadsPaused
	}
	return p.Conn.Read(b)
}

// noInput reports whether the TLS connection above p has buffered no data. It makes TLS
// process the session tickets that it has buffered.
func (p *pausableConn) noInput(above net.Conn) bool {
	p.paused = true
	n, err := above.Read(p.one[:])
	p.paused = false
	return n == 0 && errors.Is(err, errReadsPaused)
}

var errReadsPaused error = readsPausedError{}

// readsPausedError is temporary: after any other error TLS fails every later read.
type readsPausedError struct{}

func (readsPausedError) Error() string   { return "reads are paused" }
func (readsPausedError) Timeout() bool   { return true }
func (readsPausedError) Temporary() bool { return true }
