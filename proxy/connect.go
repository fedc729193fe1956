package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// ConnectOptions say what the method CONNECT does. The zero value refuses it.
type ConnectOptions struct {
	// TLS terminates the TLS of tunnels to WeChat's API hosts, and of
	// [Server.ServeAliasTLS]. It must offer HTTP/1.1 only. Nil refuses such tunnels.
	TLS *tls.Config
	// Allow are the hosts to which tunnels pass bytes unchanged: a name, *.name for the
	// names below, * for any public host, each for port 443 unless it ends in :port. A
	// host's private addresses are used only if an address or a range in CIDR form allows
	// them as well.
	Allow []string
}

// connector makes tunnels.
type connector struct {
	tls     *tls.Config
	rules   tunnelRules
	own     *dial.OwnAddresses
	proxy   *dial.Proxy // upstream.proxy; nil for none
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	tunnels tunnels
}

func newConnector(o ConnectOptions, u UpstreamOptions) (*connector, error) {
	rules, err := parseTunnelRules(o.Allow)
	if err != nil {
		return nil, err
	}
	c := &connector{tls: o.TLS, rules: rules, own: u.Own, proxy: u.Proxy, lookup: dial.LookupSystem, dial: (&net.Dialer{}).DialContext}
	if u.Resolver != "" {
		// The hosts file may point WeChat's names at the sidecar, and only these.
		lookup := dial.LookupAt(u.Resolver)
		c.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			if dial.IsWeChat(host) {
				return lookup(ctx, host)
			}
			return dial.LookupSystem(ctx, host)
		}
	}
	return c, nil
}

// serveConnect serves one CONNECT. Tunnels to WeChat's API are intercepted: the calls
// inside are served like any other. Other allowed tunnels pass bytes unchanged.
func (s *Server) serveConnect(ctx *fasthttp.RequestCtx) {
	r := &request{}
	f := s.connectTo(ctx, r)
	if f == nil {
		return
	}
	const as200 = false // a 200 would say that the tunnel is open
	s.refuseEarly(ctx, r, f, as200)
	if f.status == fasthttp.StatusProxyAuthRequired {
		ctx.Response.Header.Set(fasthttp.HeaderProxyAuthenticate, `Basic realm="wxsidecar"`)
	}
	ctx.Response.SetConnectionClose()
}

func (s *Server) connectTo(ctx *fasthttp.RequestCtx, r *request) *fault {
	if appConnOf(ctx).intercepted {
		return badRequest("CONNECT inside a tunnel")
	}
	target, lines := r.own(&ctx.Request.Header), ctx.Request.Header.RawHeaders()
	if s.connect.proxy.Returned(lines) {
		return forbidden("connect_refused", "this CONNECT is the sidecar's own and came back: upstream.proxy leads to the sidecar")
	}
	host, port, ok := splitAuthority(target)
	if !ok {
		return badRequest("CONNECT wants host:port")
	}
	last, f := r.readHead(lines)
	if f != nil {
		return f
	}
	switch h := &last.head; {
	case h.chunked || ctx.Request.Header.ContentLength() > 0:
		// One side could take the bytes for a body, the other for the tunnel's first bytes.
		return badRequest("CONNECT has no body")
	case h.browser:
		return browserRefused()
	}
	if f := s.callers.Load().admit(r, true); f != nil {
		return f
	}
	if _, ours := s.hosts[host]; ours && dial.IsWeChat(host) {
		return s.intercept(ctx, host, port, r)
	}
	return s.tunnel(ctx, host, port, r)
}

// tunnel connects to a host that is not WeChat's API and passes bytes unchanged.
func (s *Server) tunnel(ctx *fasthttp.RequestCtx, host string, port uint16, r *request) *fault {
	if !s.connect.mayTunnel(host, port) {
		return notAllowed(host, port)
	}
	if len(s.callers.Load().all) > 0 && r.caller == nil {
		return unauthenticated()
	}
	remote, f := s.dialTunnel(host, port)
	if f != nil {
		return f
	}
	// Before others know of the tunnel, who may set deadlines. An error shows again at the next read.
	_ = appConnOf(ctx).setImmediate()
	t := &tunnel{app: ctx.Conn(), remote: remote, now: s.now}
	if !s.connect.tunnels.add(t) {
		_ = remote.Close() // nothing was sent
		return tooMany("too many tunnels, or the sidecar is stopping")
	}
	s.hijack(ctx, func(conn net.Conn) {
		defer s.connect.tunnels.remove(t)
		t.run(conn)
	})
	return nil
}

// hijack answers 200, and then gives the connection, whose deadlines are immediate, to serve.
func (s *Server) hijack(ctx *fasthttp.RequestCtx, serve func(net.Conn)) {
	// fasthttp would add a Content-Length, which an answer to CONNECT must not have.
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(conn net.Conn) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("panic in a tunnel", "panic", p)
			}
		}()
		if conn.SetWriteDeadline(s.now().Add(idleTimeout)) == nil {
			_, _ = conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")) // an error shows again at the next read
		}
		serve(conn)
	})
}

// unauthenticated asks a caller that showed no key for proxy credentials. Many clients
// (Java's, Apache's, .NET's) send them only when asked, and a tunnel can show a key in no
// other way. A tunnel to WeChat's API is never asked, since an SDK may have its key in the
// call itself.
//
// See https://www.rfc-editor.org/rfc/rfc9110#section-15.5.8
func unauthenticated() *fault {
	return &fault{
		status: fasthttp.StatusProxyAuthRequired, code: "caller_refused",
		message: "this sidecar tunnels only for callers that it knows: send the key as the password of Basic proxy credentials",
	}
}

func notAllowed(host string, port uint16) *fault {
	return forbidden("connect_refused", "no tunnel to "+net.JoinHostPort(host, strconv.Itoa(int(port)))+
		": connect.allow does not have it; send traffic that is not WeChat's past the sidecar (NO_PROXY)")
}
