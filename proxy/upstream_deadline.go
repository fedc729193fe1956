package proxy

import (
	"net"
	"time"
)

// appCheckEvery is how often a call that waits for WeChat checks that its app is still connected.
const appCheckEvery = time.Second

// deadlines are those of a connection. While streaming says that a body is being sent or
// read, they are renewed as bytes move, not before next, so that it fails after idle
// without a byte. Otherwise the head of an answer is awaited until until, on behalf of app.
type deadlines struct {
	streaming bool
	idle      time.Duration
	next      time.Time
	until     time.Time
	app       net.Conn
	// Those of the connection itself.
	reads, writes deadline
}

// setHeadDeadline gives the upstream timeout from now to read the call and to answer with
// a head. Reads end every appCheckEvery, for extendHeadDeadline.
func (c *conn) setHeadDeadline(now time.Time, timeout time.Duration) error {
	c.streaming, c.until = false, now.Add(timeout)
	c.writes.wanted = c.until
	if t, due := c.writes.due(timeout / 10); due {
		if err := c.nc.SetWriteDeadline(t); err != nil {
			return err
		}
	}
	return c.setReadSlice(now, min(timeout, appCheckEvery))
}

// setReadSlice makes the next read end after slice, or up to half of that earlier: it then
// begins anew, and only until ends it for good. So most calls find a deadline that serves.
func (c *conn) setReadSlice(now time.Time, slice time.Duration) error {
	c.reads.wanted = now.Add(slice / 2)
	if t, due := c.reads.due(slice / 2); due {
		return c.nc.SetReadDeadline(t)
	}
	return nil
}

// extendHeadDeadline lets a read that ended with timeout go on. It returns an error once
// the time for the head is over, or when the app has left.
func (c *conn) extendHeadDeadline(timeout error) error {
	now := c.now()
	switch left := c.until.Sub(now); {
	case left <= 0:
		return timeout
	case c.app != nil && appClosed(c.app):
		return errAppGone
	default:
		return c.setReadSlice(now, min(left, appCheckEvery))
	}
}

// setStreaming makes reads and writes renew the deadline from now on.
func (c *conn) setStreaming() { c.streaming, c.next = true, time.Time{} }

// progress gives the connection another idle time. Renewing it once in a sixtieth of that
// is often enough.
func (c *conn) progress() error {
	now := c.now()
	if now.Before(c.next) {
		return nil
	}
	c.next = now.Add(c.idle / 60)
	until := now.Add(c.idle)
	c.reads.set(until)
	c.writes.set(until)
	return c.nc.SetDeadline(until)
}
