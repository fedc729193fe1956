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

// intercept makes the tunnel end here. Who calls is asked for each call inside,
// since an SDK that cannot give proxy credentials shows its key there.
func (s *Server) intercept(ctx *fasthttp.RequestCtx, host string, port uint16, r *request) *fault {
	if port != tunnelPort {
		return forbidden("connect_refused", "WeChat's API is on port 443 of "+host)
	}
	if s.connect.tls == nil {
		return forbidden("connect_refused", "this sidecar has no CA certificate and cannot end TLS for "+host)
	}
	raw := ctx.Conn()
	inner := &insideConn{raw: raw}
	if !s.connect.tunnels.add(inner) {
		return tooMany("too many tunnels, or the sidecar is stopping")
	}
	key, credentials := slices.Clone(r.key), slices.Clone(r.credentials)
	s.hijack(ctx, func(conn net.Conn) {
		defer s.connect.tunnels.remove(inner)
		inner.Conn = conn
		end := newTLSEnd(inner, s.connect.tls, s.now, s.log)
		// Its errors are those of one connection, which the app sees as well.
		_ = s.http.ServeConn(&appConn{Conn: end, now: s.now, inside: true, key: key, credentials: credentials})
	})
	return nil
}

// insideConn is the app's connection behind a CONNECT. Reads take what fasthttp
// had read ahead; Close closes, which a hijacked connection's own does not.
type insideConn struct {
	net.Conn
	raw net.Conn
}

// Close implements [net.Conn].
func (c *insideConn) Close() error { return c.raw.Close() }

// soften implements [ending]. The server of the calls inside ends it.
func (c *insideConn) soften() {}

// close implements [ending].
func (c *insideConn) close() { _ = c.raw.Close() }

// tlsEnd is our end of a TLS connection that an app believes to be WeChat's. It
// shakes hands at the first read, on the goroutine that serves it.
type tlsEnd struct {
	*tls.Conn
	shaken bool
	now    func() time.Time
	log    *slog.Logger
}

func newTLSEnd(c net.Conn, config *tls.Config, now func() time.Time, log *slog.Logger) *tlsEnd {
	return &tlsEnd{Conn: tls.Server(c, config), now: now, log: log}
}

// Read implements [net.Conn].
func (c *tlsEnd) Read(p []byte) (int, error) {
	if !c.shaken {
		c.shaken = true
		if err := c.handshake(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

func (c *tlsEnd) handshake() error {
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

// logFailure tells an app that does not trust us from any other trouble, since it
// is what everybody meets first.
func (c *tlsEnd) logFailure(err error) {
	text := err.Error()
	for _, alert := range []string{"unknown certificate authority", "bad certificate", "unknown certificate"} {
		if strings.Contains(text, alert) {
			c.log.Warn("an app refused the sidecar's certificate: it must trust wxsidecar-ca.pem (wxsidecar ca shows how)", "error", err)
			return
		}
	}
	c.log.Debug("TLS with an app failed", "error", err)
}
