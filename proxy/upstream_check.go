package proxy

import (
	"crypto/tls"
	"net"
	"time"
)

// usable reports whether an idle connection may carry another call: its peer has
// neither closed it nor sent anything. An unsolicited answer would otherwise be taken
// for the answer to the next call, which may be another account's.
func (c *conn) usable() bool {
	if c.pausable != nil && !c.pausable.allTaken() && !c.pausable.noInput(c.nc) || c.proxyTLS != nil && !noInputTLS(c.proxyTLS) {
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
