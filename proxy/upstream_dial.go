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

// connect returns a connection to h: an idle one that is usable, or a new one. fresh
// rules out idle ones. A call that is not repeatable gets an idle one only if that was
// used within connFresh.
func (u *upstream) connect(now time.Time, h *host, fresh, repeatable bool) (*conn, error) {
	if !fresh {
		var since time.Time
		if !repeatable {
			since = now.Add(-connFresh)
		}
		for c := h.pool.get(now, since); c != nil; c = h.pool.get(now, since) {
			if c.usable() {
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

// dial connects to h, and for https shakes hands, within dial.Timeout.
func (u *upstream) dial(h *host) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(u.base, dial.Timeout)
	defer cancel()
	nc, err := h.dialer.Dial(ctx)
	if err != nil || h.tls == nil {
		return nc, err
	}
	tc := tls.Client(&pausableConn{Conn: nc}, h.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return tc, nil
}

// proxyFailure returns the failure of upstream.proxy in err, or nil if there is none.
// After such a failure nothing of a call was sent.
func proxyFailure(err error) *dial.ProxyError {
	var p *dial.ProxyError
	errors.As(err, &p)
	return p
}
