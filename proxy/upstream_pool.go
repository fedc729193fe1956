package proxy

import (
	"sync"
	"time"
)

const (
	// connIdle is how long a connection waits for its next call. WeChat's own
	// limit is not documented; a call that meets its end is sent again if it may be.
	connIdle = 30 * time.Second
	// connAge is how long a connection is used at most, so that a change in DNS is
	// followed. Each one lives up to a quarter less, so that they do not end at once.
	connAge = time.Minute
	// connFresh is how long a connection may have rested to carry a call that must not
	// be sent twice: well under what servers allow, since a call that crosses with the
	// end of its connection is lost.
	connFresh = 10 * time.Second
)

// pool holds the idle connections of one host, the last used on top: what is not
// needed ages out at the bottom.
type pool struct {
	mu     sync.Mutex
	idle   []*conn
	closed bool
	sweep  *time.Timer // set while idle connections wait
}

// take returns the last used connection that is still good and was used after
// since, or nil.
func (p *pool) take(now, since time.Time) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		c := p.idle[n-1]
		if !c.lastUsed.After(since) {
			return nil
		}
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		if now.Before(c.ends) && now.Sub(c.lastUsed) < connIdle {
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !now.Before(c.ends) || c.br.Buffered() > 0 {
		c.close()
		return
	}
	p.idle = append(p.idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(connIdle, func() { p.sweepIdle(c.now) })
	}
}

// sweepIdle closes what has waited too long, and comes again while any wait.
func (p *pool) sweepIdle(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, at := p.idle[:0], now()
	for _, c := range p.idle {
		if at.Before(c.ends) && at.Sub(c.lastUsed) < connIdle {
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

// drop closes every idle connection: one of them was found closed, so the others
// of its age are likely to be.
func (p *pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked()
}

func (p *pool) dropLocked() {
	for i, c := range p.idle {
		c.close()
		p.idle[i] = nil
	}
	p.idle = p.idle[:0]
}

// shut closes the pool for good: what is put back from then on is closed as well.
func (p *pool) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.dropLocked()
	if p.sweep != nil {
		p.sweep.Stop()
	}
}
