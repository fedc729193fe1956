package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// ErrAddress is wrapped by the error of a delivery to an address that is never called.
var ErrAddress = errors.New("the address is not called")

// Options configure a [Client]. The zero value works.
type Options struct {
	// Own are the addresses that this process listens on, which are not called; nil for
	// none.
	Own *dial.OwnAddresses
	// RootCAs are trusted for https targets; nil means the system's.
	RootCAs *x509.CertPool
	// UserAgent is sent with each delivery; empty means "wxsidecar".
	UserAgent string
	// Now is the clock of webhook-timestamp; nil means time.Now.
	Now func() time.Time
}

// Client delivers to targets, and keeps connections to them. It follows no redirect, calls
// neither link-local addresses and clouds' metadata services nor this process, whatever a
// name resolves to, and uses no proxy. It is safe for concurrent use.
type Client struct {
	own       *dial.OwnAddresses
	userAgent string
	now       func() time.Time
	tcp, unix *http.Transport
}

// New returns a client.
func New(o Options) *Client {
	c := &Client{own: o.Own, userAgent: o.UserAgent, now: o.Now}
	if c.userAgent == "" {
		c.userAgent = "wxsidecar"
	}
	if c.now == nil {
		c.now = time.Now
	}
	dialer := &net.Dialer{Timeout: dial.Timeout, ControlContext: c.checkAddress}
	c.tcp = newTransport(dialer.DialContext)
	c.tcp.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	c.unix = newTransport(func(ctx context.Context, _, address string) (net.Conn, error) {
		socket, err := socketOf(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{Timeout: dial.Timeout}).DialContext(ctx, "unix", socket)
	})
	return c
}

// Close closes the connections that no delivery uses.
func (c *Client) Close() {
	c.tcp.CloseIdleConnections()
	c.unix.CloseIdleConnections()
}

func newTransport(dialContext func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext: dialContext, TLSHandshakeTimeout: dial.Timeout,
		// Servers of apps close a connection that is idle for two seconds (gunicorn) or five
		// (Node, uvicorn). A delivery that meets that moment fails.
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Second,
		MaxResponseHeaderBytes: 16 << 10,
		// A small compressed reply could grow without bound.
		DisableCompression: true,
	}
}

// checkAddress runs after the name was resolved, for each address that is tried: what a name
// leads to may change between a check and a connection.
func (c *Client) checkAddress(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return err
	case dial.Metadata(at.Addr()):
		return fmt.Errorf("%w: %s is link-local or a cloud's metadata service", ErrAddress, at.Addr())
	case c.own.Has(at):
		return fmt.Errorf("%w: %s is the sidecar's own", ErrAddress, at)
	}
	return nil
}
