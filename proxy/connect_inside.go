package proxy

import (
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"time"
)

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
