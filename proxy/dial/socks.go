package dial

import (
	"errors"
	"io"
	"net"
	"strings"

	"golang.org/x/net/proxy"
)

// openSOCKS asks a SOCKS 5 proxy for a connection to target, by name.
func (p *Proxy) openSOCKS(nc net.Conn, target string) error {
	var auth *proxy.Auth
	if p.url.user != "" {
		auth = &proxy.Auth{User: p.url.user, Password: p.url.password}
	}
	d, err := proxy.SOCKS5("tcp", p.url.address(), auth, fixedDialer{nc})
	if err != nil {
		return &ProxyError{Reason: "cannot use the proxy (upstream.proxy)", Detail: err.Error()}
	}
	// Dial returns nc itself, which DialContext would wrap: callers need its SyscallConn
	// and CloseWrite. open handles the context.
	if _, err := d.Dial("tcp", target); err != nil {
		return socksError(err, target)
	}
	return nil
}

// fixedDialer is a dialer that returns a connection that exists already.
type fixedDialer struct{ conn net.Conn }

// Dial implements [proxy.Dialer].
func (m fixedDialer) Dial(string, string) (net.Conn, error) { return m.conn, nil }

// socksError returns the error of the SOCKS client's err. That has only a text: the
// client's own, or that of RFC 1928 for the proxy's reply.
func socksError(err error, target string) *ProxyError {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var broken net.Error
	text := err.Error()
	reply, replied := strings.CutPrefix(text, "unknown error ")
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken):
		return closedEarly(err)
	case text == "username/password authentication failed":
		return &ProxyError{Reason: "credentials refused (upstream.proxy)"}
	case text == "no acceptable authentication methods":
		return &ProxyError{Reason: "the proxy takes none of our ways to authenticate; it may want credentials, or others (upstream.proxy)"}
	case reply == "connection not allowed by ruleset":
		return &ProxyError{Reason: "the proxy refuses " + target + " (upstream.proxy): " + reply}
	case replied:
		return &ProxyError{Reason: "the proxy does not reach " + target + " (upstream.proxy): " + reply, Elsewhere: true}
	default:
		return &ProxyError{Reason: "the answer is not a SOCKS 5 proxy's (upstream.proxy)", Detail: text}
	}
}
