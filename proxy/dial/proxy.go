package dial

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Proxy is a proxy through which WeChat is reached: an HTTP proxy, by CONNECT, or a SOCKS 5
// proxy. It gets hosts by name. It is safe for concurrent use.
type Proxy struct {
	url proxyURL
	// host is the proxy itself, which may be at a private address.
	host Host
	tls  *tls.Config // nil unless the proxy is reached by https
	id   string      // in the Via header of our CONNECTs
}

// NewProxy returns the proxy of a URL that [CheckProxyURL] accepts. Options say how
// the proxy itself is found; roots are trusted for one that is reached by https, nil
// for the system's. No error shows the URL.
func NewProxy(rawURL string, roots *x509.CertPool, o Options) (*Proxy, error) {
	u, err := parseProxyURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("upstream.proxy: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Proxy{url: u, host: Host{Name: u.host, Port: u.port, MayBePrivate: true}, id: "wxsidecar-" + rand.Text()}
	o.Proxy = nil
	p.host.Use(o)
	if u.scheme == "https" {
		p.tls = &tls.Config{
			ServerName: u.host, MinVersion: tls.VersionTLS12, RootCAs: roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(8),
		}
	}
	return p, nil
}

// ProxyError says that the proxy failed before anything was sent to WeChat. It wraps no
// cause, so that a timeout of the proxy is not taken for one of WeChat.
type ProxyError struct {
	// Reason is for everybody, and shows no address of ours.
	Reason string
	// Detail is for the log; it may be empty.
	Detail string
	// Elsewhere says that the proxy works but cannot reach this host. It may reach
	// another.
	Elsewhere bool
}

// Error returns the reason and the detail.
func (e *ProxyError) Error() string {
	if e.Detail == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Detail
}

// ProxyFailed returns Elsewhere, for packages that cannot import this one.
func (e *ProxyError) ProxyFailed() (elsewhere bool) { return e.Elsewhere }

// Dial returns a connection to host that the proxy has made. The next byte that is
// read from it is the host's first. An error is a *[ProxyError], unless ctx was
// canceled.
func (p *Proxy) Dial(ctx context.Context, host, port string) (net.Conn, error) {
	target := net.JoinHostPort(host, port)
	nc, err := p.dialProxy(ctx)
	if err == nil {
		if err = p.open(ctx, nc, target); err == nil {
			return nc, nil
		}
		_ = nc.Close() // nothing of a call was sent
	}
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return nil, cause
	}
	return nil, err
}

// dialProxy connects to the proxy itself.
func (p *Proxy) dialProxy(ctx context.Context) (net.Conn, error) {
	nc, err := p.host.Dial(ctx)
	switch {
	case errors.Is(err, ErrLoop):
		return nil, &ProxyError{Reason: "the proxy's address is a listener of this sidecar (upstream.proxy)"}
	case err != nil:
		return nil, &ProxyError{Reason: "cannot connect to the proxy (upstream.proxy)", Detail: err.Error()}
	}
	if p.tls == nil {
		return nc, nil
	}
	tc := tls.Client(nc, p.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, &ProxyError{Reason: "no TLS with the proxy (upstream.proxy)", Detail: err.Error()}
	}
	return tc, nil
}

// pastDeadline is a deadline in the past.
var pastDeadline = time.Unix(1, 0)

// open asks the proxy for a connection to target. It fails when ctx ends.
func (p *Proxy) open(ctx context.Context, nc net.Conn, target string) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(pastDeadline) })
	var err error
	if p.url.scheme == "socks5" {
		err = p.openSOCKS(nc, target)
	} else {
		err = p.openHTTP(nc, target)
	}
	if stop() {
		return err
	}
	return &ProxyError{Reason: "the proxy does not answer for " + target + " (upstream.proxy)", Elsewhere: true}
}

// closedEarly is the error of a connection that the proxy closed before it answered.
func closedEarly(err error) *ProxyError {
	return &ProxyError{Reason: "the proxy ended the connection without an answer (upstream.proxy)", Detail: err.Error()}
}

// Returned reports whether via, a request's header lines, has the Via of our own CONNECTs:
// the request then came back to us.
func (p *Proxy) Returned(via []byte) bool { return p != nil && strings.Contains(string(via), p.id) }

// CheckLoop is [Host.CheckLoop] for the proxy itself.
func (p *Proxy) CheckLoop(ctx context.Context) error {
	if p.host.CheckLoop(ctx) == nil {
		return nil
	}
	return fmt.Errorf("upstream.proxy leads to a listener of this sidecar: %w\nhint: give the address of the proxy "+
		"that leads out; apps get the sidecar's own address as HTTPS_PROXY, the sidecar itself does not", ErrLoop)
}
