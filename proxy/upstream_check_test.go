package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// onePacket sends what it holds in one piece.
type onePacket struct {
	net.Conn
	held bytes.Buffer
}

func (c *onePacket) Write(p []byte) (int, error) { return c.held.Write(p) }

func (c *onePacket) send(t *testing.T) {
	if _, err := c.held.WriteTo(c.Conn); err != nil {
		t.Error(err)
	}
}

// tlsIdentity is a server's TLS settings, and the roots that know it.
func tlsIdentity(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	up := httptest.NewUnstartedServer(nil)
	up.StartTLS()
	defer up.Close()
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	return &tls.Config{Certificates: up.TLS.Certificates}, roots
}

// What came behind an answer, in records of their own but in the same packet, is in
// the buffer of TLS when the next call comes: it is not that call's answer, and an
// end that came so costs no call.
func TestRoundTrip_UnsolicitedAnswerAtOnceOverTLS(t *testing.T) {
	config, roots := tlsIdentity(t)
	f := func(name string, behind func(c *tls.Conn, answer string)) {
		t.Helper()
		up := newRaw(t, func(_ int, c net.Conn, _ *bufio.Reader) {
			packet := &onePacket{}
			tc := tls.Server(&shakingConn{Conn: c, later: packet}, config)
			if tc.Handshake() != nil {
				return
			}
			packet.Conn = c
			br := bufio.NewReader(tc)
			for {
				head, _, err := readRequest(br)
				if err != nil {
					return
				}
				text := strings.Fields(head)[1]
				one := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
				io.WriteString(tc, one)
				behind(tc, one)
				packet.send(t)
			}
		})
		const kept = 64 << 10
		s := start(t, Options{
			Source: platform(), DefaultAppID: merchant, Limits: Limits{ReplayBody: kept},
			Upstream: UpstreamOptions{URL: strings.Replace(up.url, "http:", "https:", 1), RootCAs: roots},
		})
		for i := range 3 {
			path := fmt.Sprintf("/call%d", i)
			// Too long to be kept, so that it could not be sent twice.
			got := s.call(t, "POST", path, strings.Repeat("u", kept+1))
			if !strings.HasPrefix(got.body, path+"?") {
				t.Errorf("%s, %s: %d %q", name, path, got.status, got.body)
			}
		}
		if n := up.conns.Load(); n != 3 {
			t.Errorf("%s: %d connections, want 3", name, n)
		}
	}
	f("second answer", func(c *tls.Conn, answer string) { io.WriteString(c, answer) })
	f("farewell", func(c *tls.Conn, _ string) { c.CloseWrite() })
}

// shakingConn writes to later once that has a connection.
type shakingConn struct {
	net.Conn
	later *onePacket
}

// SetWriteDeadline leaves the deadline that a farewell ends with out.
func (c *shakingConn) SetWriteDeadline(time.Time) error { return nil }

func (c *shakingConn) Write(p []byte) (int, error) {
	if c.later.Conn != nil {
		return c.later.Write(p)
	}
	return c.Conn.Write(p)
}

// A look into the buffer of TLS leaves the connection as it was.
func TestConn_UsableOverTLS(t *testing.T) {
	config, roots := tlsIdentity(t)
	ours, theirs := connPair(t, "tcp")
	server := tls.Server(theirs, config)
	client := tls.Client(&pausableConn{Conn: ours}, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	go io.Copy(server, server)
	if _, err := io.WriteString(client, "a"); err != nil {
		t.Fatal(err)
	}
	c := newConn(client, &host{}, time.Now, 0)
	c.streaming, c.idle = true, time.Minute
	read := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	read("a")
	if !c.usable() {
		t.Error("not quiet although nothing came")
	}
	io.WriteString(client, "bc")
	read("b") // c is left
	if c.usable() {
		t.Error("quiet with a byte in the buffer")
	}
}

// The same through a proxy that is spoken to by TLS: what came in the same packet is
// in the buffer of that TLS.
func TestRoundTrip_UnsolicitedAnswerBehindAProxysTLS(t *testing.T) {
	config, roots := tlsIdentity(t)
	way := newRaw(t, func(_ int, c net.Conn, _ *bufio.Reader) {
		packet := &onePacket{}
		tc := tls.Server(&shakingConn{Conn: c, later: packet}, config)
		br := bufio.NewReader(tc)
		if _, _, err := readRequest(br); err != nil { // CONNECT
			return
		}
		io.WriteString(tc, "HTTP/1.1 200 OK\r\n\r\n")
		packet.Conn = c
		for {
			head, _, err := readRequest(br)
			if err != nil {
				return
			}
			reply(tc, strings.Fields(head)[1])
			reply(tc, "of no call")
			packet.send(t)
		}
	})
	p, err := dial.NewProxy(strings.Replace(way.url, "http:", "https:", 1), roots, dial.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: "http://one.example", Proxy: p}})
	for i := range 3 {
		path := fmt.Sprintf("/call%d", i)
		if got := s.call(t, "GET", path, ""); !strings.HasPrefix(got.body, path+"?") {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	if n := way.conns.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}
