package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// connect returns a connection to h: a waiting one on which nothing came, its end least
// of all, or a new one if fresh is wanted. For a call that is not repeatable a waiting
// one must have been used of late.
func (u *upstream) connect(h *host, fresh, repeatable bool) (*conn, error) {
	if !fresh {
		now := u.now()
		var since time.Time
		if !repeatable {
			since = now.Add(-connFresh)
		}
		for c := h.pool.take(now, since); c != nil; c = h.pool.take(now, since) {
			if c.quiet() {
				return c, nil
			}
			c.close()
			u.metrics.UpstreamStale()
		}
	}
	nc, err := u.dial(h)
	u.metrics.UpstreamDial(err == nil)
	if err != nil {
		return nil, err
	}
	c := newConn(nc, h, u.now, rand.N(connAge/4))
	c.idle = u.idle
	return c, nil
}

// dial connects and, for https, shakes hands, all within dial.Timeout.
func (u *upstream) dial(h *host) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(u.base, dial.Timeout)
	defer cancel()
	nc, err := h.dialer.Dial(ctx)
	if err != nil || h.tls == nil {
		return nc, err
	}
	tc := tls.Client(&gate{Conn: nc}, h.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return tc, nil
}

// proxyFailure returns what failed on the way out through upstream.proxy, or nil where
// something else did. Nothing of a call was sent then.
func proxyFailure(err error) *dial.ProxyError {
	var p *dial.ProxyError
	errors.As(err, &p)
	return p
}
