package proxy

import (
	"sync"
	"time"
)

const (
	// connIdle is how long a connection may be idle. WeChat's own limit is not
	// documented. A call on a connection that WeChat closes is sent again if that is safe.
	connIdle = 30 * time.Second
	// connAge is how long a connection is used at most, so that changes in DNS take
	// effect. A random part of up to a quarter is taken off, so that connections do not
	// all expire together.
	connAge = time.Minute
	// connFresh is how long a connection may have been idle to carry a call that must
	// not be sent twice. It is well under what servers allow, since a call that crosses
	// with the close of its connection is lost.
	connFresh = 10 * time.Second
)

// pool holds the idle connections of one host. It is a stack: connections that are not
// needed expire at the bottom.
type pool struct {
	mu     sync.Mutex
	idle   []*conn
	closed bool
	sweep  *time.Timer // set while idle connections wait
}

// get returns the most recently used connection that has not expired and was used after
// since, or nil.
func (p *pool) get(now, since time.Time) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		c := p.idle[n-1]
		if !c.lastUsed.After(since) {
			return nil
		}
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		if now.Before(c.expires) && now.Sub(c.lastUsed) < connIdle {
			c.reused = true
			return c
		}
		c.close()
	}
	return nil
}

// put gives a connection back.
func (p *pool) put(c *conn, now time.Time) {
	c.lastUsed, c.app = now, nil
	more := c.endRead()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !now.Before(c.expires) || more {
		c.close()
		return
	}
	p.idle = append(p.idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(connIdle, func() { p.sweepIdle(c.now) })
	}
}

// sweepIdle closes connections that have been idle too long, and runs again while any are left.
func (p *pool) sweepIdle(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, at := p.idle[:0], now()
	for _, c := range p.idle {
		if at.Before(c.expires) && at.Sub(c.lastUsed) < connIdle {
			kept = append(kept, c)
		} else {
			c.close()
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.sweep = nil
	if len(kept) > 0 && !p.closed {
		p.sweep = time.AfterFunc(connIdle/2, func() { p.sweepIdle(now) })
	}
}

// closeIdle closes every idle connection. It is called when one was found closed, since
// those of the same age are then likely to be closed too.
func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeIdleLocked()
}

func (p *pool) closeIdleLocked() {
	for i, c := range p.idle {
		c.close()
		p.idle[i] = nil
	}
	p.idle = p.idle[:0]
}

// close closes all idle connections, and from then on those that are put back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeIdleLocked()
	if p.sweep != nil {
		p.sweep.Stop()
	}
}
