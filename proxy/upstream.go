package proxy

import (
	"context"
	"crypto/x509"
	"log/slog"
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
	// Proxy is the proxy through which all hosts are reached, and those of tunnels; nil
	// for none.
	Proxy *dial.Proxy
	// Timeout is from the last byte of a request to the first of its answer; 0 for
	// DefaultTimeout.
	Timeout time.Duration
}

// upstream sends calls to WeChat's hosts.
type upstream struct {
	hosts   []*host
	timeout time.Duration
	idle    time.Duration // how long an answer's body may make no progress
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

// close closes the idle connections, and from then on those that become idle.
func (u *upstream) close() {
	for _, h := range u.hosts {
		h.pool.close()
	}
}
