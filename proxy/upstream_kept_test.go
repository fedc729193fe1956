package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// usable reports whether an idle connection may carry another call.
func (c *conn) usable() bool { return c.nothingBuffered() && (c.socket == nil || c.silent()) }

// keptCall returns a call over a kept connection whose upstream answers at once.
func keptCall(tb testing.TB) func() {
	tb.Helper()
	ours, theirs := connPair(tb, "tcp")
	go func() {
		request, answer := make([]byte, 4<<10), []byte(upstreamAnswer)
		for {
			if n, err := theirs.Read(request); err != nil || n == 0 {
				return
			}
			if _, err := theirs.Write(answer); err != nil {
				return
			}
		}
	}()
	c := newConn(ours, &host{name: "one.example"}, time.Now, 0)
	r := &request{requestHead: requestHead{method: []byte("GET"), path: []byte("/x")}}
	r.body.open(nil, nil, lengthNone, time.Now)
	resp := &fasthttp.Response{}
	return func() {
		if err := c.exchange(time.Now(), r, nil, resp, time.Minute); err != nil {
			tb.Fatal(err)
		}
		if err := resp.ReadBody(c.br, 0); err != nil {
			tb.Fatal(err)
		}
		c.reused = true
	}
}

// secondCalls returns an upstream that answers the first call of a connection, and has further
// ones done by second.
func secondCalls(t *testing.T, second func(c net.Conn, br *bufio.Reader)) *rawUpstream {
	return newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for first := true; ; first = false {
			head, _, err := readRequest(br)
			switch {
			case err != nil:
				return
			case first:
				reply(c, strings.Fields(head)[1])
			default:
				second(c, br)
				return
			}
		}
	})
}

// The wait for an answer on a kept connection ends as on a new one: by the timeout, and when
// the upstream closes. What WeChat may have carried out is not sent again.
func TestKept_WaitEnds(t *testing.T) {
	const timeout = 300 * time.Millisecond
	f := func(name, method string, second func(net.Conn, *bufio.Reader), least time.Duration, status, conns int) {
		t.Helper()
		made := make(chan struct{}, 9)
		up := secondCalls(t, func(c net.Conn, br *bufio.Reader) {
			made <- struct{}{}
			second(c, br)
		})
		s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url, Timeout: timeout}})
		if got := s.call(t, method, "/first", "b"); got.status != 200 {
			t.Fatalf("%s: first call: %d %q", name, got.status, got.body)
		}
		began := time.Now()
		got := s.call(t, method, "/second", "b")
		if took := time.Since(began); got.status != status || took < least {
			t.Errorf("%s: %d %q after %s, want %d", name, got.status, got.body, took, status)
		}
		if n := len(made); n != 1 {
			t.Errorf("%s: the kept connection carried %d calls after the first, want 1", name, n)
		}
		if n := int(up.conns.Load()); n != conns {
			t.Errorf("%s: %d connections, want %d", name, n, conns)
		}
	}
	waits := func(_ net.Conn, br *bufio.Reader) { br.ReadByte() }
	closes := func(c net.Conn, _ *bufio.Reader) { c.Close() }
	f("silent", "POST", waits, timeout, fasthttp.StatusGatewayTimeout, 1)
	f("silent", "GET", waits, timeout, fasthttp.StatusGatewayTimeout, 1)
	f("closes", "POST", closes, 0, fasthttp.StatusGatewayTimeout, 1)
	f("closes", "GET", closes, 0, fasthttp.StatusOK, 2) // once more, on a new connection
}

// A connection on which more came than the answer, in the same packet, carries no further call: the
// next one would take the rest for its own answer, or meet the middle of one.
func TestKept_MoreThanTheAnswer(t *testing.T) {
	f := func(name, answer, more string) {
		t.Helper()
		up := newRaw(t, func(n int, c net.Conn, br *bufio.Reader) {
			for calls := 1; ; calls++ {
				if _, _, err := readRequest(br); err != nil {
					return
				}
				body := fmt.Sprintf("call %d of %d", calls, n)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n"+answer+more, len(body), body)
			}
		})
		s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
		conns := int64(1)
		for range 3 {
			want := fmt.Sprintf("call 1 of %d", conns)
			if got := s.call(t, "GET", "/x", ""); got.status != 200 || got.body != want {
				t.Errorf("%s: %d %q, want %q", name, got.status, got.body, want)
			}
			if n := up.conns.Load(); n != conns {
				t.Errorf("%s: %d connections, want %d", name, n, conns)
			}
			conns++
		}
	}
	const length, chunked = "Content-Length: %d\r\n\r\n%s", "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
	f("a byte", length, "H")
	f("an answer", length, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
	f("a byte behind chunks", chunked, "H")
	f("an answer behind chunks", chunked, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
}

// An app that leaves while WeChat has not answered ends a kept connection too.
func TestKept_ClientGone(t *testing.T) {
	waits, ended := make(chan struct{}), make(chan error, 1)
	up := secondCalls(t, func(_ net.Conn, br *bufio.Reader) {
		close(waits)
		_, err := br.ReadByte()
		ended <- err
	})
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url, Timeout: time.Hour}})
	if got := s.call(t, "POST", "/first", "b"); got.status != 200 {
		t.Fatalf("first call: %d %q", got.status, got.body)
	}
	app, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(app, "POST /second HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab"); err != nil {
		t.Fatal(err)
	}
	<-waits
	app.Close()
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the upstream saw %v, want the end", err)
	}
	if n := up.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A process that stood still until its own deadline had passed, as one without processor time
// does, takes no kept connection for one that has ended.
func TestKept_StartsLate(t *testing.T) {
	ours, theirs := connPair(t, "tcp")
	go func() {
		br := bufio.NewReader(theirs)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			reply(theirs, "late")
		}
	}()
	c := newConn(ours, &host{name: "one.example"}, time.Now, 0)
	c.reused = true
	for _, size := range []int{0, 2 * pieceBytes} {
		r := &request{requestHead: requestHead{method: []byte("POST"), path: []byte("/x")}}
		r.body.open(strings.NewReader(strings.Repeat("b", size)), quietConn{}, size, time.Now)
		if f := r.body.buffer(size, &replayMemory{limit: 1 << 20}); f != nil {
			t.Fatal(f)
		}
		resp := &fasthttp.Response{}
		if err := c.exchange(time.Now().Add(-2*appCheckEvery), r, nil, resp, time.Minute); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := resp.ReadBody(c.br, 0); err != nil || string(bufferedBody(resp)) != "late" {
			t.Errorf("%d bytes: %q, %v", size, bufferedBody(resp), err)
		}
		c.reads = deadline{} // so that the next one is set anew
	}
}

// BenchmarkKept is a call over a kept connection without TLS, the upstream's part included.
func BenchmarkKept(b *testing.B) {
	call := keptCall(b)
	call()
	for b.Loop() {
		call()
	}
}
