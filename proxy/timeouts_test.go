package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An app that does not go on is cut off in its time, wherever it stops, and one that rests
// between calls keeps its connection.
func TestServer_Timeouts(t *testing.T) {
	const get = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
	upload := "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n"
	discard := func(c net.Conn) { go io.Copy(io.Discard, c) }
	call := func(c net.Conn) {
		io.WriteString(c, get)
		readAnswer(t, c)
	}
	f := func(name string, want time.Duration, app func(c net.Conn)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := fakeServer(t, Options{DefaultAppID: merchant})
				defer s.upstream.close()
				side, peer := net.Pipe()
				defer peer.Close()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					s.serveConn(side)
				}()
				app(peer)
				began := time.Now()
				<-ended
				if took := time.Since(began); took < want || took > want+appDeadlineLate {
					t.Errorf("ended after %s, want %s", took, want)
				}
			})
		})
	}
	f("sends nothing", headTimeout, func(net.Conn) {})
	f("stops in a head", headTimeout, func(c net.Conn) {
		discard(c)
		io.WriteString(c, get[:9])
	})
	f("drips a head", headTimeout-18*time.Second, func(c net.Conn) {
		discard(c)
		io.WriteString(c, get[:1])
		each(c, 3*time.Second, 6)
	})
	f("rests", keepAlive, call)
	f("rests after an upload", keepAlive, func(c net.Conn) {
		io.WriteString(c, upload+strings.Repeat("u", 10_000))
		for range 10 {
			time.Sleep(idleTimeout - 2*time.Second)
			io.WriteString(c, strings.Repeat("u", 1000))
		}
		readAnswer(t, c)
	})
	f("rests between calls", keepAlive, func(c net.Conn) {
		for range 5 {
			call(c)
			time.Sleep(keepAlive - time.Second)
		}
		call(c)
	})
	f("stops in a head after a rest", headTimeout, func(c net.Conn) {
		call(c)
		time.Sleep(keepAlive - time.Second)
		discard(c)
		io.WriteString(c, get[:9])
	})
	f("stops in a body", idleTimeout, func(c net.Conn) {
		discard(c)
		io.WriteString(c, upload+strings.Repeat("u", 10_000))
	})
	f("does not read its answer", idleTimeout, func(c net.Conn) { io.WriteString(c, get) })
	f("does not read a refusal", idleTimeout, func(c net.Conn) {
		call(c)
		time.Sleep(keepAlive - time.Second)
		io.WriteString(c, "GET /x HTTP/1.1\r\nbad\r\n\r\n")
	})
	f("does not read a 100", idleTimeout, func(c net.Conn) {
		call(c)
		time.Sleep(keepAlive - time.Second)
		io.WriteString(c, strings.Replace(upload, "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1))
	})
}

// readAnswer reads an answer whole.
func readAnswer(t *testing.T, c net.Conn) {
	t.Helper()
	var head strings.Builder
	for one := make([]byte, 1); !strings.HasSuffix(head.String(), "\r\n\r\n"); {
		if _, err := c.Read(one); err != nil {
			t.Fatalf("%q, %v", head.String(), err)
		}
		head.Write(one)
	}
	_, rest, _ := strings.Cut(head.String(), "Content-Length: ")
	var length int
	if _, err := fmt.Sscan(rest, &length); err != nil {
		t.Fatalf("%q: %v", head.String(), err)
	}
	if _, err := io.CopyN(io.Discard, c, int64(length)); err != nil {
		t.Fatal(err)
	}
}
