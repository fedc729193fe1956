package proxy

import (
	"crypto/tls"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// intercept terminates the tunnel's TLS and serves the calls inside. The caller is
// identified for each call, since an SDK that cannot give proxy credentials shows its key
// there.
func (s *Server) intercept(ctx *fasthttp.RequestCtx, host string, port uint16, r *request) *fault {
	if port != tunnelPort {
		return forbidden("connect_refused", "WeChat's API is on port 443 of "+host)
	}
	if s.connect.tls == nil {
		return forbidden("connect_refused", "this sidecar has no CA certificate and cannot end TLS for "+host)
	}
	raw := appConnOf(ctx)
	_ = raw.setImmediate() // an error shows again at the next read
	inner := &interceptedConn{raw: raw}
	if !s.connect.tunnels.add(inner) {
		return tooMany("too many tunnels, or the sidecar is stopping")
	}
	key, credentials := slices.Clone(r.key), slices.Clone(r.credentials)
	s.hijack(ctx, func(conn net.Conn) {
		defer s.connect.tunnels.remove(inner)
		inner.Conn = conn
		end := newAppTLSConn(inner, s.connect.tls, s.now, s.log)
		// Its errors are those of this connection; the app sees them as well.
		c := newAppConn(end, s.now, true)
		c.intercepted, c.key, c.credentials = true, key, credentials
		_ = s.http.ServeConn(c)
	})
	return nil
}

// interceptedConn is the app's connection behind a CONNECT. Reads begin with what fasthttp
// had read ahead. Close closes raw, which a hijacked connection's own Close does not.
type interceptedConn struct {
	net.Conn
	raw net.Conn
}

// Close implements [net.Conn].
func (c *interceptedConn) Close() error { return c.raw.Close() }

// drain implements [drainer]. The server of the calls inside closes the connection.
func (c *interceptedConn) drain() {}

// close implements [drainer].
func (c *interceptedConn) close() { _ = c.raw.Close() }

// appTLSConn is the server side of a TLS connection that the app made for WeChat. It shakes
// hands at the first read, on the goroutine that serves it.
type appTLSConn struct {
	*tls.Conn
	handshaken bool
	now        func() time.Time
	log        *slog.Logger
}

func newAppTLSConn(c net.Conn, config *tls.Config, now func() time.Time, log *slog.Logger) *appTLSConn {
	return &appTLSConn{Conn: tls.Server(c, config), now: now, log: log}
}

// Read implements [net.Conn].
func (c *appTLSConn) Read(p []byte) (int, error) {
	if !c.handshaken {
		c.handshaken = true
		if err := c.handshake(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

func (c *appTLSConn) handshake() error {
	deadline := c.now().Add(headTimeout)
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if err := c.Handshake(); err != nil {
		c.logFailure(err)
		return err
	}
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	return c.SetReadDeadline(deadline)
}

// logFailure logs at Warn if the app does not trust our certificate, since that is the
// first obstacle in every installation. It logs anything else at Debug.
func (c *appTLSConn) logFailure(err error) {
	text := err.Error()
	for _, alert := range []string{"unknown certificate authority", "bad certificate", "unknown certificate"} {
		if strings.Contains(text, alert) {
			c.log.Warn("an app refused the sidecar's certificate: it must trust wxsidecar-ca.pem (wxsidecar ca shows how)", "error", err)
			return
		}
	}
	c.log.Debug("TLS with an app failed", "error", err)
}
