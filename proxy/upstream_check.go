package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// errNotSilent says that an idle connection may not carry another call: its peer has closed it
// or sent something. An unsolicited answer would otherwise be taken for the answer to the next
// call, which may be another account's. Nothing of the call was sent.
var errNotSilent = errors.New("the upstream closed its idle connection, or sent what nobody asked for")

// turn is the sending of one call over a kept connection, for [conn.step].
type turn struct {
	r       *request
	query   []byte
	timeout time.Duration
	taken   bool // step has looked, and has sent the call unless err says otherwise
	err     error
}

// sendIfSilent is send, but for a connection that has carried calls before it returns
// errNotSilent if that may not carry another.
func (c *conn) sendIfSilent(r *request, query []byte, timeout time.Duration) error {
	if !c.reused || c.socket == nil {
		return c.send(r, query, timeout)
	}
	if r.body.short() {
		c.turn = turn{r: r, query: query, timeout: timeout, err: errNotSilent}
		// Whatever ends the wait, such as a deadline, the read that follows meets it too.
		_ = c.socket.Read(c.turnStep)
		taken, err := c.turn.taken, c.turn.err
		c.turn = turn{}
		if taken {
			return err
		}
		// The process stood still until a deadline had passed, which says nothing of the peer.
	}
	if !c.silent() {
		return errNotSilent
	}
	return c.send(r, query, timeout)
}

// step looks whether the socket is silent, sends, and is called again when the answer begins.
// In a read of its own each of them would cost more: Go's poller begins a read by forgetting
// that the socket may be ready. So a read tries the socket first, and right behind a call finds
// nothing. Here the look, which is needed anyway, is what is tried.
func (c *conn) step(fd uintptr) bool {
	t := &c.turn
	if t.taken {
		return true
	}
	t.taken = true
	if noInput(fd) {
		t.err = c.send(t.r, t.query, t.timeout)
	}
	return t.err != nil
}

// nothingBuffered reports whether no TLS layer of a kept connection has read ahead.
func (c *conn) nothingBuffered() bool {
	return (c.pausable == nil || c.pausable.allTaken() || c.pausable.noInput(c.nc)) && (c.proxyTLS == nil || c.noInputOfProxy())
}

// silent reports whether the peer has neither closed the socket nor sent anything.
func (c *conn) silent() bool {
	silent := false
	err := c.socket.Control(func(fd uintptr) { silent = noInput(fd) })
	return err == nil && silent
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
