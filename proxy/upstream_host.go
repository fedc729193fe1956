package proxy

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

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
			// Connections are replaced each minute; the new one resumes the TLS session.
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
			// With dynamic records a call of more than a packet costs two records and two
			// system calls until the connection has carried 128 KiB.
			DynamicRecordSizingDisabled: true,
		}
		port = cmp.Or(port, "443")
	case "http":
		port = cmp.Or(port, "80")
	default:
		return nil, fmt.Errorf("upstream.url %q: the scheme must be https or http", redactURL(raw))
	}
	// WeChat is never at a private address. Whoever configures another name, or a port,
	// may mean one.
	h.dialer = dial.Host{Name: u.Hostname(), Port: port, MayBePrivate: !dial.IsWeChat(u.Hostname()) || u.Port() != ""}
	return h, nil
}

// redactURL removes from a URL whatever could be a secret.
func redactURL(raw string) string {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i] + "…"
	}
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	return raw
}
