package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// quiet reports whether nothing came over a connection while it was idle. Its end
// may have; so may an answer to no call, which must not be taken for the answer to
// the next one, as that may be another account's.
func (c *conn) quiet() bool {
	if c.gate != nil && !c.gate.quiet(c.nc) || c.way != nil && !quietTLS(c.way) {
		return false
	}
	if c.socket == nil {
		return true
	}
	c.silent = false
	return c.socket.Control(c.look) == nil && c.silent
}

// tlsOfProxy returns the TLS that a proxy is spoken to by, below or as nc; nil where
// there is none.
func tlsOfProxy(nc net.Conn, g *gate) *tls.Conn {
	if g != nil {
		nc = g.Conn
	}
	tc, _ := nc.(*tls.Conn)
	return tc
}

// quietTLS is gate.quiet for a TLS connection that has no gate below: a deadline that
// has passed keeps it from reading.
func quietTLS(c *tls.Conn) bool {
	var one [1]byte
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	n, err := c.Read(one[:])
	return n == 0 && isTimeout(err) && c.SetReadDeadline(time.Time{}) == nil
}

// gate is the connection below TLS. TLS reads ahead: what follows an answer in the
// same packet may be in its own buffer, where no look at the socket sees it.
type gate struct {
	net.Conn
	shut bool
	one  [1]byte
}

// NetConn returns the connection below.
func (g *gate) NetConn() net.Conn { return g.Conn }

// Read implements [net.Conn].
func (g *gate) Read(p []byte) (int, error) {
	if g.shut {
		return 0, errGateShut
	}
	return g.Conn.Read(p)
}

// quiet reports whether the TLS connection above g has nothing to give without
// reading from g. Tickets and the like that it has are taken in by this.
func (g *gate) quiet(above net.Conn) bool {
	g.shut = true
	n, err := above.Read(g.one[:])
	g.shut = false
	return n == 0 && errors.Is(err, errGateShut)
}

var errGateShut error = gateError{}

// gateError is temporary: TLS gives no connection up for such errors.
type gateError struct{}

func (gateError) Error() string   { return "nothing is read now" }
func (gateError) Timeout() bool   { return true }
func (gateError) Temporary() bool { return true }
