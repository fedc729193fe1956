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

// idleConn returns an idle connection to h, or nil. fresh rules them out. A call that is not
// repeatable gets one only if that was used within connFresh.
func (h *host) idleConn(now time.Time, fresh, repeatable bool) *conn {
	var since time.Time
	switch {
	case fresh:
		return nil
	case !repeatable:
		since = now.Add(-connFresh)
	}
	return h.pool.get(now, since)
}

// connect returns a new connection to h.
func (u *upstream) connect(h *host) (*conn, error) {
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
