package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// fakeApp is the app's end of a connection: it yields the same request over and
// over, and drops the answers.
type fakeApp struct {
	fakeConn
	request []byte
	left    int
	at      int
	answers int
}

func (c *fakeApp) Read(p []byte) (int, error) {
	if c.at == len(c.request) {
		if c.left <= 1 {
			return 0, io.EOF
		}
		c.left--
		c.at = 0
	}
	n := copy(p, c.request[c.at:])
	c.at += n
	return n, nil
}

func (c *fakeApp) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 200 ")) {
		c.answers++
	}
	return len(p), nil
}

// fakeUpstream answers each flush with the same bytes.
type fakeUpstream struct {
	fakeConn
	answer []byte
	ready  []byte
	seen   []byte
}

func (c *fakeUpstream) Write(p []byte) (int, error) {
	c.ready = c.answer
	c.seen = append(c.seen[:0], p...)
	return len(p), nil
}

func (c *fakeUpstream) Read(p []byte) (int, error) {
	if len(c.ready) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

type fakeConn struct{}

var fakeAddr net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

func (fakeConn) Close() error                     { return nil }
func (fakeConn) LocalAddr() net.Addr              { return fakeAddr }
func (fakeConn) RemoteAddr() net.Addr             { return fakeAddr }
func (fakeConn) SetDeadline(time.Time) error      { return nil }
func (fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (fakeConn) SetWriteDeadline(time.Time) error { return nil }

const upstreamAnswer = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 06:00:00 GMT\r\n" +
	"Content-Type: application/json; encoding=utf-8\r\nContent-Length: 27\r\nConnection: keep-alive\r\n\r\n" +
	`{"errcode":0,"errmsg":"ok"}`

// fakeServer returns a server with everything on whose upstream is synchronous.
func fakeServer(tb testing.TB, o Options) (*Server, *fakeUpstream) {
	tb.Helper()
	up := &fakeUpstream{answer: []byte(upstreamAnswer)}
	o.Upstream.URL = "http://127.0.0.1:1"
	if o.Source == nil {
		o.Source = platform()
	}
	o.Metrics = metrics.New("test")
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	s.upstream.hosts[0].dialer.Connect = func(context.Context, string, string) (net.Conn, error) { return up, nil }
	return s, up
}

const appHead = " /cgi-bin/message/custom/send?lang=zh_CN HTTP/1.1\r\nHost: 127.0.0.1:7080\r\nUser-Agent: app/1.0\r\n" +
	"Accept: */*\r\nContent-Type: application/json\r\nX-Wxsidecar-Key: key-of-shop\r\nX-Wechat-Appid: " + merchant + "\r\n"

func getRequest() []byte { return []byte("GET" + appHead + "\r\n") }

func postRequest() []byte {
	body := `{"text":"` + strings.Repeat("x", 1000) + `"}`
	return []byte("POST" + appHead + "Content-Length: 1011\r\n\r\n" + body)
}

func handleRequest(s *Server) []byte {
	c := s.callers.Load()
	h := s.keys.issue(authorizerKey(merchant), c.all[0])
	return []byte("GET /cgi-bin/menu/get?access_token=" + h + " HTTP/1.1\r\nHost: api.weixin.qq.com\r\n\r\n")
}

func benchmark(b *testing.B, s *Server, request []byte) {
	c := &fakeApp{request: request, left: b.N}
	b.ReportAllocs()
	b.ResetTimer()
	if err := s.serveConn(c); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if c.answers != b.N {
		b.Fatalf("%d answers to %d calls", c.answers, b.N)
	}
}

func benchServer(tb testing.TB) *Server {
	s, _ := fakeServer(tb, Options{Callers: []Caller{callerOf("shop", "key-of-shop")}})
	return s
}

func BenchmarkForwardGET(b *testing.B)    { benchmark(b, benchServer(b), getRequest()) }
func BenchmarkForwardPOST(b *testing.B)   { benchmark(b, benchServer(b), postRequest()) }
func BenchmarkForwardHandle(b *testing.B) { s := benchServer(b); benchmark(b, s, handleRequest(s)) }

// wantAllocations wants at most so many allocations for a call.
func wantAllocations(t *testing.T, s *Server, name string, request []byte, want float64) {
	t.Helper()
	const calls = 2000
	got := testing.AllocsPerRun(5, func() {
		c := &fakeApp{request: request, left: calls}
		if err := s.serveConn(c); err != nil || c.answers != calls {
			t.Fatalf("%s: %d answers to %d calls, %v", name, c.answers, calls, err)
		}
	}) / calls
	// A connection has its own cost, and pools lose what the collector takes.
	if got > want+0.05 && !raceEnabled {
		t.Errorf("%s: %.3f allocations for a call, want at most %v", name, got, want)
	}
}

// The goal of the data path: nothing allocated for a call, but the 24 bytes that
// fasthttp needs to discard what is left of a body.
func TestForward_Allocations(t *testing.T) {
	s := benchServer(t)
	wantAllocations(t, s, "GET", getRequest(), 0)
	wantAllocations(t, s, "POST", postRequest(), 1)
	wantAllocations(t, s, "handle", handleRequest(s), 0)
}

// The same with the broker itself, and with all that a caller may be bound to.
func TestForward_AllocationsWithTheBroker(t *testing.T) {
	w := newWorld(t, Options{})
	shop := callerOf("shop", "key-of-shop")
	shop.AppIDs, shop.Allow, shop.Deny = []string{own, merchant}, []string{"/cgi-bin/menu/*", "/cgi-bin/message/*"}, []string{"/cgi-bin/clear_quota"}
	o := Options{Source: w.broker, Exchange: w.broker, Callers: []Caller{callerOf("other", "other-key"), shop}}
	s, _ := fakeServer(t, o)
	wantAllocations(t, s, "GET", getRequest(), 0)
	wantAllocations(t, s, "POST", postRequest(), 1)
	handle := s.keys.issue(authorizerKey(merchant), s.callers.Load().all[1])
	wantAllocations(t, s, "handle", []byte("GET /cgi-bin/menu/get?access_token="+handle+" HTTP/1.1\r\nHost: localhost\r\n\r\n"), 0)
	// A component that the call names, and that no call in its own name was made for.
	menu := "GET /cgi-bin/menu/get%s HTTP/1.1\r\nHost: localhost\r\nX-Wxsidecar-Key: key-of-shop\r\n" + forMerchant() + "\r\n%s\r\n"
	wantAllocations(t, s, "component", fmt.Appendf(nil, menu, "", throughComponent(component)+"\r\n"), 0)
	wantAllocations(t, s, "component_appid", fmt.Appendf(nil, menu, "?component_appid="+component, ""), 0)
	// An account that the call does not name: the default, and the only one.
	const unnamed = "GET /cgi-bin/menu/get HTTP/1.1\r\nHost: localhost\r\nX-Wxsidecar-Key: key-of-shop\r\n\r\n"
	o.DefaultAppID = own
	s, _ = fakeServer(t, o)
	wantAllocations(t, s, "default", []byte(unnamed), 0)
	sim := wechattest.New(wechattest.Options{})
	sim.AddAccount(own, appSecret)
	b, _, _ := runBroker(t, sim, broker.Options{Accounts: []broker.AccountConfig{{AppID: own, Secret: secret.New(appSecret)}}})
	o.Source, o.Exchange, o.DefaultAppID = b, b, ""
	s, _ = fakeServer(t, o)
	wantAllocations(t, s, "only account", []byte(unnamed), 0)
}
