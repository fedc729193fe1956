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
	if c.pausable != nil && !c.pausable.allTaken() && !c.pausable.noInput(c.nc) || c.proxyTLS != nil && !c.noInputOfProxy() {
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

// noInputOfProxy is pausableConn.noInput for the TLS connection to upstream.proxy, which has no
// pausableConn below. A deadline in the past keeps it from reading from the network; afterwards
// reads have none.
func (c *conn) noInputOfProxy() bool {
	var one [1]byte
	if c.proxyTLS.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	n, err := c.proxyTLS.Read(one[:])
	c.reads.set(time.Time{})
	return n == 0 && isTimeout(err) && c.proxyTLS.SetReadDeadline(time.Time{}) == nil
}
