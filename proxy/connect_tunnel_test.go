package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// outside replaces what tunnels resolve and dial, and records what is dialled.
type outside struct {
	mu     sync.Mutex
	dialed []string
	names  map[string][]string
	asked  int
}

func (o *outside) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	var addrs []netip.Addr
	for _, a := range o.names[host] {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	if addrs == nil {
		return nil, errors.New("no such host")
	}
	return addrs, nil
}

func (o *outside) dial(_ context.Context, _, addr string) (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dialed = append(o.dialed, addr)
	a, b := net.Pipe()
	b.Close()
	return a, nil
}

// take returns what was dialled since the last call.
func (o *outside) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.dialed
	o.dialed = nil
	return d
}

func startTunnels(t *testing.T, o *outside, allow ...string) *sidecar {
	t.Helper()
	config, _ := interception(t)
	s := start(t, Options{Source: platform(), Connect: ConnectOptions{TLS: config, Allow: allow}})
	s.connect.lookup, s.connect.dial = o.lookup, o.dial
	return s
}

func TestConnect_Refuses(t *testing.T) {
	o := &outside{names: map[string][]string{
		"public.example": {"93.184.216.34"}, "rebound.example": {"10.0.0.7"}, "metadata.example": {"169.254.169.254"},
		"mixed.example": {"127.0.0.1", "93.184.216.34"}, "six.example": {"::1", "fd00::1"}, "mp.weixin.qq.com": {"93.184.216.34"},
	}}
	s := startTunnels(t, o, "*", "*.weixin.qq.com", "only.example:8443")
	for target, want := range map[string]int{
		"169.254.169.254:443": 403, "169.254.169.254:80": 403, "100.100.100.200:443": 403, "168.63.129.16:443": 403,
		"127.0.0.1:443": 403, "10.0.0.1:443": 403, "192.168.1.1:443": 403, "172.16.0.1:443": 403, "100.64.0.1:443": 403,
		"0.0.0.0:443": 403, "255.255.255.255:443": 403, "224.0.0.1:443": 403, "198.18.0.1:443": 403,
		"0.1.2.3:443": 403, "192.0.0.192:443": 403, "192.0.2.1:443": 403, "192.88.99.1:443": 403, "198.51.100.1:443": 403,
		"203.0.113.1:443": 403, "240.0.0.1:443": 403, "[2001:db8::1]:443": 403,
		"[::1]:443": 403, "[::]:443": 403, "[fe80::1]:443": 403, "[fd00:ec2::254]:443": 403, "[ff02::1]:443": 403,
		"[::ffff:127.0.0.1]:443": 403, "[::ffff:10.0.0.1]:443": 403, "[::127.0.0.1]:443": 403,
		"[64:ff9b::10.0.0.1]:443": 403, "[64:ff9b:1::1]:443": 403, "[2002:7f00:1::]:443": 403, "[2001::1]:443": 403,
		"rebound.example:443": 403, "metadata.example:443": 403, "six.example:443": 403,
		"public.example:25": 403, "public.example:80": 403, "api.weixin.qq.com:80": 403, "api.weixin.qq.com:25": 403,
		"127.1:443": 403, "2130706433:443": 403, "0x7f000001:443": 403, "0177.0.0.1:443": 403,
		"only.example:443": 502, "nowhere.example:443": 502,
		"public.example": 400, "public.example:0": 400, "public.example:99999": 400, "u@public.example:443": 400,
		"[fe80::1%25eth0]:443": 400, ":443": 400, "a b:443": 400, "http://public.example/": 400, "/": 400, "*": 400,
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: api.weixin.qq.com\r\n\r\n", target)
		answer, err := io.ReadAll(conn) // which says that the connection is closed, too
		conn.Close()
		if err != nil || !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("%s: %q, %v", target, answer, err)
			continue
		}
		if !strings.Contains(string(answer), `{"errcode":`) && want != 400 {
			t.Errorf("%s: not WeChat's shape: %q", target, answer)
		}
	}
	if d := o.take(); len(d) > 0 {
		t.Errorf("dialled %v", d)
	}
}

func TestConnect_DialsWhatWasChecked(t *testing.T) {
	o := &outside{names: map[string][]string{
		"mixed.example": {"127.0.0.1", "2606:2800:220:1::1", "93.184.216.34"}, "intra.example": {"10.1.2.3"},
		"shop.example": {"10.9.9.9"}, "mp.weixin.qq.com": {"64:ff9b::101:101"},
	}}
	s := startTunnels(t, o, "mixed.example", "intra.example:8443", "10.1.0.0/16:8443", "shop.example", "10.9.0.0/16:8443", "192.168.5.5", "*.weixin.qq.com", "[fd00::5]:444")
	f := func(target string, want string) {
		t.Helper()
		before := o.asked
		conn, _ := dialConnect(t, s.addr, target, "")
		conn.Close()
		if got := strings.Join(o.take(), " "); got != want {
			t.Errorf("%s: dialled %q, want %q", target, got, want)
		}
		if o.asked-before > 1 {
			t.Errorf("%s: looked up %d times", target, o.asked-before)
		}
	}
	f("mixed.example:443", "93.184.216.34:443")
	f("MIXED.example.:443", "93.184.216.34:443")
	f("intra.example:8443", "10.1.2.3:8443")
	f("intra.example:443", "")
	f("shop.example:443", "") // its name is allowed, its address is not for this port
	f("192.168.5.5:443", "192.168.5.5:443")
	f("[::ffff:192.168.5.5]:443", "192.168.5.5:443")
	f("10.1.9.9:8443", "10.1.9.9:8443")
	f("10.1.9.9:443", "")
	f("[fd00::5]:444", "[fd00::5]:444")
	f("93.184.216.34:443", "") // public, but only * allows that
	f("mp.weixin.qq.com:443", "[64:ff9b::101:101]:443")
	f("evilweixin.qq.com:443", "")
	f("weixin.qq.com:443", "")
}

// echoServer sends back what it gets until the other side has finished, and then
// says bye.
func echoServer(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				io.Copy(c, c)
				io.WriteString(c, "bye")
			})
		}
	})
	return ln.Addr().String()
}

func TestConnect_TunnelsBytes(t *testing.T) {
	addr := echoServer(t)
	s := start(t, Options{Source: platform(), Connect: ConnectOptions{Allow: []string{addr}}})
	const early = "\x16\x03\x01 right behind the head"
	conn, status := dialConnect(t, s.addr, addr, early)
	if status != 200 {
		t.Fatal(status)
	}
	large := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		io.WriteString(conn, large)
		conn.(*readAhead).Conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != early+large+"bye" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// What follows the head is the tunnel's, and can be nothing else.
func TestConnect_NoBody(t *testing.T) {
	o := &outside{names: map[string][]string{"public.example": {"93.184.216.34"}}}
	s := startTunnels(t, o, "*")
	for _, target := range []string{"public.example:443", "api.weixin.qq.com:443"} {
		for _, headers := range [][]string{
			{"Content-Length: 5"},
			{"Content-Length: 0", "Content-Length: 5"},
			{"Transfer-Encoding: chunked"},
			{"Transfer-Encoding: chunked", "Content-Length: 5"},
			{"Transfer-Encoding: x"},
		} {
			if _, status := dialConnect(t, s.addr, target, "0\r\n\r\n", headers...); status != 400 {
				t.Errorf("%s %q: %d", target, headers, status)
			}
		}
		if _, status := dialConnect(t, s.addr, target, "", "Content-Length: 0"); status != 200 {
			t.Errorf("%s: a length of nothing: %d", target, status)
		}
	}
	if d := o.take(); len(d) != 1 {
		t.Errorf("dialled %q", d)
	}
}

// A web page and what is inside a tunnel make none, and a name of ours that is not
// WeChat's is no API host.
func TestConnect_NotForEverybody(t *testing.T) {
	o := &outside{names: map[string][]string{"public.example": {"93.184.216.34"}, "sidecar.internal": {"93.184.216.34"}}}
	config, roots := interception(t)
	s := start(t, Options{
		Source: platform(), AllowedHosts: []string{"sidecar.internal"}, Connect: ConnectOptions{TLS: config, Allow: []string{"public.example"}},
	})
	s.connect.lookup, s.connect.dial = o.lookup, o.dial
	for _, target := range []string{"public.example:443", "api.weixin.qq.com:443"} {
		for _, header := range []string{"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"} {
			if _, status := dialConnect(t, s.addr, target, "", header); status != 403 {
				t.Errorf("%s, %s: %d", target, header, status)
			}
		}
		outer, _ := dialConnect(t, s.addr, "api.weixin.qq.com:443", "")
		inner := tls.Client(outer, &tls.Config{RootCAs: roots, ServerName: "api.weixin.qq.com"})
		fmt.Fprintf(inner, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
		if answer, err := io.ReadAll(inner); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("%s inside a tunnel: %q, %v", target, answer, err)
		}
	}
	if _, status := dialConnect(t, s.addr, "sidecar.internal:443", ""); status != 403 {
		t.Errorf("a name of ours: %d", status)
	}
	if d := o.take(); len(d) > 0 {
		t.Errorf("dialled %q", d)
	}
}

// A rule that has the sidecar's own listeners, by a range that somebody allowed,
// opens no way around what these listeners ask for.
func TestConnect_NotToItself(t *testing.T) {
	o := &outside{names: map[string][]string{"self.example": {"127.0.0.1"}, "both.example": {"127.0.0.1", "127.0.0.2"}}}
	own := &dial.OwnAddresses{}
	own.Add(tcpAddr("127.0.0.1:7083"))
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{Own: own}, Connect: ConnectOptions{
		Allow: []string{"127.0.0.0/8:7083", "self.example:7083", "both.example:7083"},
	}})
	s.connect.lookup, s.connect.dial = o.lookup, o.dial
	f := func(target string, want int, dialed string) {
		t.Helper()
		_, status := dialConnect(t, s.addr, target, "")
		if got := strings.Join(o.take(), " "); status != want || got != dialed {
			t.Errorf("%s: %d, dialled %q", target, status, got)
		}
	}
	f("127.0.0.1:7083", 403, "")
	f("[::ffff:127.0.0.1]:7083", 403, "")
	f("self.example:7083", 403, "")
	f("both.example:7083", 200, "127.0.0.2:7083")
	f("127.0.0.2:7083", 200, "127.0.0.2:7083")
}

func TestConnect_ShutdownLeavesNothing(t *testing.T) {
	addr := echoServer(t)
	config, roots := interception(t)
	up := newWeChat(t, echo)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		// fasthttp's pool looks only every 10 s whether it was stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
	s, err := New(Options{
		Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Connect: ConnectOptions{TLS: config, Allow: []string{addr}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	quiet, _ := dialConnect(t, ln.Addr().String(), addr, "x")
	if _, err := io.ReadFull(quiet, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	inside, _ := dialConnect(t, ln.Addr().String(), "api.weixin.qq.com:443", "")
	tc := tls.Client(inside, &tls.Config{RootCAs: roots, ServerName: "api.weixin.qq.com"})
	io.WriteString(tc, "GET /x HTTP/1.1\r\nHost: api.weixin.qq.com\r\nX-Wechat-Appid: "+merchant+"\r\n\r\n")
	if _, err := tc.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{quiet, tc} {
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("not closed in order: %v", err)
		}
	}
}

func TestConnect_ShutdownCutsWhatMoves(t *testing.T) {
	addr := echoServer(t)
	s := start(t, Options{Source: platform(), Connect: ConnectOptions{Allow: []string{addr}}})
	conn, _ := dialConnect(t, s.addr, addr, "x")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := io.WriteString(conn, "x"); err != nil {
				return
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a busy tunnel: %v", err)
	}
	close(stop)
	wg.Wait()
	if s.connect.tunnels.add(&interceptedConn{}) {
		t.Error("a tunnel was taken after the end")
	}
}

func TestConnect_Bounded(t *testing.T) {
	var ts tunnels
	for range maxTunnels {
		if !ts.add(&tunnel{}) {
			t.Fatal("refused too early")
		}
	}
	if ts.add(&tunnel{}) {
		t.Error("one too many")
	}
}
