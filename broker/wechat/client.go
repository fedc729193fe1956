package wechat

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// WeChat's API. DefaultURL is answered by the nearest site; FallbackURL is a second
// name for the case that the first cannot be reached.
// https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Interface_field_description.html
const (
	DefaultURL  = "https://api.weixin.qq.com"
	FallbackURL = "https://api2.weixin.qq.com"
)

// maxAnswerBytes bounds an answer of a token call; a page of 500 authorizers is
// the largest, at about 100 KB.
const maxAnswerBytes = 2 << 20

// Options configure a [Client]. The zero value calls WeChat itself.
type Options struct {
	// URLs are the API's base URLs, in order of preference. Empty: DefaultURL.
	URLs []string
	// RootCAs are trusted for TLS; nil means the system's.
	RootCAs *x509.CertPool
	// Dial makes connections; nil dials as net/http does. An error that has a method
	// ProxyFailed() (elsewhere bool) is one of the way out, not of WeChat; elsewhere says
	// that another of the URLs may be reached all the same.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds one call from its start to the last byte of its answer.
	// 0 means 10 s.
	Timeout time.Duration
	// Transport replaces the whole HTTP transport, for tests; RootCAs and Dial are
	// then not used.
	Transport http.RoundTripper
	// Now is the clock against which answers' Date is measured. nil: time.Now.
	Now func() time.Time
	// UserAgent is sent with each call; empty: "wxsidecar".
	UserAgent string
}

// Client calls WeChat's token APIs. It is safe for concurrent use. Each method
// makes one HTTP attempt and follows no redirect. Only net/http itself sends a call
// again, when a kept connection turns out closed before any of the call was written.
type Client struct {
	urls      []string
	preferred atomic.Uint32 // index into urls of the host that answered last
	post      *http.Client
	get       *http.Client
	traced    bool // net/http tells when it has a connection
	timeout   time.Duration
	now       func() time.Time
	userAgent string
	onDate    atomic.Pointer[func(date, sent, received time.Time)]
}

// New returns a client. It fails if a URL is not http or https, or has a path.
func New(o Options) (*Client, error) {
	c := &Client{urls: slices.Clone(o.URLs), timeout: o.Timeout, now: o.Now, userAgent: o.UserAgent}
	if len(c.urls) == 0 {
		c.urls = []string{DefaultURL}
	}
	for i, raw := range c.urls {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("upstream.url: %q is not of the form https://host[:port]", raw)
		}
		c.urls[i] = u.Scheme + "://" + u.Host
	}
	if c.timeout == 0 {
		c.timeout = 10 * time.Second
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.userAgent == "" {
		c.userAgent = "wxsidecar"
	}
	transport := o.transport()
	c.post, c.get, c.traced = newHTTP(transport), newHTTP(transport), o.Transport == nil
	if t, ok := transport.(*http.Transport); ok {
		// Over a kept connection net/http sends a GET again that WeChat may have read.
		t = t.Clone()
		t.DisableKeepAlives = true
		c.get = newHTTP(t)
	}
	return c, nil
}

func newHTTP(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirect could carry a token to another host
	}}
}

func (o Options) transport() http.RoundTripper {
	if o.Transport != nil {
		return o.Transport
	}
	return &http.Transport{
		Proxy:               nil, // the environment's proxy may be this very sidecar
		DialContext:         o.Dial,
		TLSClientConfig:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 8,
		// Well under what servers allow: a call that crosses with the end of its
		// connection is lost.
		IdleConnTimeout:        10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // no gzip bombs
	}
}

// OnDate makes the client report the Date of each answer, with the moments
// between which WeChat wrote it, so that the skew of the clocks can be measured.
// f must not block and may be called concurrently.
func (c *Client) OnDate(f func(date, sent, received time.Time)) { c.onDate.Store(&f) }

// Probe asks whether WeChat answers at all. It needs no token, and any answer
// will do.
func (c *Client) Probe(ctx context.Context) error {
	resp, cancel, err := c.send(ctx, http.MethodGet, "/", nil, nil)
	if err != nil {
		return err
	}
	defer cancel()
	return resp.Body.Close()
}

// call makes one call and reads a good answer. secrets are what the call carries, to
// be taken out of errors that repeat them: WeChat's errmsg may, and net/http quotes what
// it cannot read. raw is the answer's bytes, which belong to the caller.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body any, secrets ...secret.Text) (answer object, raw []byte, err error) {
	payload, err := encode(body)
	if err != nil {
		return object{}, nil, fmt.Errorf("%s: encode the request: %w", path, err)
	}
	resp, cancel, err := c.send(ctx, method, path, query, payload, secrets...)
	if err != nil {
		return object{}, nil, err
	}
	defer cancel()
	defer func() { _ = resp.Body.Close() }()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	bad := &BadAnswerError{Path: path, Status: resp.StatusCode}
	switch {
	case err != nil:
		bad.Reason = "it broke off: " + reason(err, secrets).Error()
	case len(raw) > maxAnswerBytes:
		bad.Reason = fmt.Sprintf("longer than %d bytes", maxAnswerBytes)
	case resp.StatusCode != http.StatusOK:
		bad.Reason = "status is not 200"
	default:
		answer, err = read(path, raw, secrets)
		return answer, raw, err
	}
	return object{}, nil, bad
}

// send returns the head of the answer. The caller closes the body, then cancels.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, payload []byte, secrets ...secret.Text) (*http.Response, context.CancelFunc, error) {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	host := c.preferred.Load()
	target := c.urls[int(host)%len(c.urls)] + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(payload))
	if err != nil {
		cancel()
		return nil, nil, &NoAnswerError{Path: path, Err: reason(err, secrets)}
	}
	req.Header.Set("User-Agent", c.userAgent)
	if payload != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	sent := c.now()
	resp, err := c.client(method).Do(req)
	if err != nil {
		cancel()
		proxy, elsewhere := proxyFailed(err)
		if (!proxy || elsewhere) && !errors.Is(err, context.Canceled) { // who gave up knows nothing of the host
			c.preferred.CompareAndSwap(host, (host+1)%uint32(len(c.urls)))
		}
		sent := (connected.Load() || !c.traced) && !neverConnected(err)
		return nil, nil, &NoAnswerError{Path: path, Err: reason(err, secrets), Proxy: proxy, Sent: sent}
	}
	c.observeDate(resp, sent)
	return resp, cancel, nil
}

// client returns the one for that method.
func (c *Client) client(method string) *http.Client {
	if method == http.MethodGet {
		return c.get
	}
	return c.post
}

// neverConnected reports whether a call failed with err because no connection was made:
// after a kept one that had ended net/http may have tried another.
func neverConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (c *Client) observeDate(resp *http.Response, sent time.Time) {
	f := c.onDate.Load()
	if f == nil {
		return
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		(*f)(date, sent, c.now())
	}
}

// proxyFailed reports whether err is one of the way out; see Options.Dial.
func proxyFailed(err error) (failed, elsewhere bool) {
	var p interface{ ProxyFailed() (elsewhere bool) }
	if !errors.As(err, &p) {
		return false, false
	}
	return true, p.ProxyFailed()
}

// reason words a transport error without the URL, whose query may hold a token, and
// without the call's own secrets.
func reason(err error, secrets []secret.Text) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrTimeUp
	}
	return errors.New(clean(err.Error(), secrets))
}
