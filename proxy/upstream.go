package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// DefaultTimeout is how long WeChat may take from the last byte of a request to
// the first of its answer.
const DefaultTimeout = 30 * time.Second

// UpstreamOptions says where calls go. The zero value is WeChat.
type UpstreamOptions struct {
	// URL is scheme, host and port; empty for https://api.weixin.qq.com. A name of
	// WeChat's without a port may not have a private address; any other host may.
	URL string
	// Fallback is where calls go while URL's host is out, in this order. With an
	// empty URL and no Fallback it is https://api2.weixin.qq.com.
	Fallback []string
	// RootCAs are the roots that TLS trusts; nil for the system's.
	RootCAs *x509.CertPool
	// Resolver is the host:port of a DNS server that is asked instead of the
	// system's resolver and the hosts file; empty for those.
	Resolver string
	// Own are the addresses that are never called; nil for none.
	Own *dial.OwnAddresses
	// Proxy is the way to all hosts, and to those of tunnels; nil for the straight one.
	Proxy *dial.Proxy
	// Timeout is from the last byte of a request to the first of its answer; 0 for
	// DefaultTimeout.
	Timeout time.Duration
}

// upstream is the outside: the hosts that calls go to.
type upstream struct {
	hosts   []*host
	timeout time.Duration
	idle    time.Duration // how long an answer's body may stand still
	now     func() time.Time
	base    context.Context
	log     *slog.Logger
	metrics *metrics.Metrics
}

func newUpstream(o UpstreamOptions, base context.Context, now func() time.Time, log *slog.Logger, m *metrics.Metrics) (*upstream, error) {
	u := &upstream{timeout: o.Timeout, idle: idleTimeout, now: now, base: base, log: log, metrics: m}
	if u.timeout == 0 {
		u.timeout = DefaultTimeout
	}
	urls := append([]string{o.URL}, o.Fallback...)
	if o.URL == "" {
		urls[0] = wechat.DefaultURL
		if len(o.Fallback) == 0 {
			urls = append(urls, wechat.FallbackURL)
		}
	}
	for _, raw := range urls {
		h, err := newHost(raw, o.RootCAs)
		if err != nil {
			return nil, err
		}
		h.dialer.Use(dial.Options{Resolver: o.Resolver, Own: o.Own, Proxy: o.Proxy, Now: now})
		u.hosts = append(u.hosts, h)
	}
	return u, nil
}

// pick returns the first host that is not out and not the one that just failed.
// Where there is none it is the first: a call that is tried may succeed.
func (u *upstream) pick(failed *host) *host {
	now := u.now()
	for _, h := range u.hosts {
		if h != failed && h.available(now) {
			return h
		}
	}
	return u.hosts[0]
}

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

// close closes the idle connections and keeps none from then on.
func (u *upstream) close() {
	for _, h := range u.hosts {
		h.pool.shut()
	}
}
