package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

const (
	// hostFailures in a row take a host out for hostOut.
	hostFailures = 3
	hostOut      = 30 * time.Second
)

// wechatHosts are WeChat's hosts for the API; they all serve the same. See
// https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Interface_field_description.html
var wechatHosts = []string{
	"api.weixin.qq.com", "api2.weixin.qq.com",
	"sh.api.weixin.qq.com", "sz.api.weixin.qq.com", "hk.api.weixin.qq.com",
	// The former name for uploads, which some SDKs still call.
	"file.api.weixin.qq.com",
}

// host is one upstream host: how to reach it, its idle connections, its health.
type host struct {
	name   string // host or host:port as the Host header has it
	dialer dial.Host
	tls    *tls.Config // nil for plain HTTP
	pool   pool

	failures atomic.Int32
	outUntil atomic.Int64 // nanoseconds since 1970
}

// newHost reads an upstream URL: scheme and host, nothing else.
func newHost(raw string, roots *x509.CertPool) (*host, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("upstream.url %q: not a URL like %s", redactURL(raw), wechat.DefaultURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("upstream.url %q: only scheme, host and port may be given", redactURL(raw))
	}
	h := &host{name: u.Host}
	port := u.Port()
	switch u.Scheme {
	case "https":
		h.tls = &tls.Config{
			ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: roots,
			// A new connection each minute resumes instead of a whole handshake.
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
			// Else a call of more than a packet is two records and two system calls
			// until the connection has carried 128 KiB.
			DynamicRecordSizingDisabled: true,
		}
		port = orDefault(port, "443")
	case "http":
		port = orDefault(port, "80")
	default:
		return nil, fmt.Errorf("upstream.url %q: the scheme must be https or http", redactURL(raw))
	}
	// WeChat is never at a private address; whoever gives another name, or a port,
	// knows where that leads.
	h.dialer = dial.Host{Name: u.Hostname(), Port: port, MayBePrivate: !dial.IsWeChat(u.Hostname()) || u.Port() != ""}
	return h, nil
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// redactURL takes out of a URL whatever could be a secret.
func redactURL(raw string) string {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i] + "…"
	}
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	return raw
}

// available reports whether the host may be tried. A host that is out is tried by
// one call in each hostOut.
func (h *host) available(now time.Time) bool {
	if h.failures.Load() < hostFailures {
		return true
	}
	until := h.outUntil.Load()
	return now.UnixNano() >= until && h.outUntil.CompareAndSwap(until, now.Add(hostOut).UnixNano())
}

// succeeded notes that the host answered.
func (h *host) succeeded() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}

// failed notes a connection failure or timeout; true when that takes the host out.
func (h *host) failed(now time.Time) bool {
	n := h.failures.Add(1)
	if n >= hostFailures {
		h.outUntil.Store(now.Add(hostOut).UnixNano())
	}
	return n == hostFailures
}

// authorities returns the hosts as their URLs name them: host or host:port.
func authorities(hosts []*host) map[string]struct{} {
	all := map[string]struct{}{}
	for _, h := range hosts {
		all[h.name] = struct{}{}
	}
	return all
}

// hostNames returns the names under which apps may call: WeChat's, those of the
// upstreams, and extra ones from the configuration, all in lower case and without
// ports.
func hostNames(hosts []*host, extra []string) map[string]struct{} {
	names := map[string]struct{}{}
	for _, n := range wechatHosts {
		names[n] = struct{}{}
	}
	for _, h := range hosts {
		names[strings.ToLower(h.dialer.Name)] = struct{}{}
	}
	for _, n := range extra {
		if bare, _, err := net.SplitHostPort(n); err == nil {
			n = bare
		}
		names[strings.ToLower(strings.Trim(n, "[]"))] = struct{}{}
	}
	return names
}
