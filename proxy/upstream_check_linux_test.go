package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// arrives waits until the other end's kernel has all that was written to c: a busy
// machine may be late with what goes over loopback, too.
func arrives(t *testing.T, c net.Conn) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	for left := 1; left > 0; runtime.Gosched() {
		var failed error
		if err := raw.Control(func(fd uintptr) { left, failed = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err != nil || failed != nil {
			t.Error(err, failed)
			return
		}
	}
}

// An answer that nobody asked for, as servers send one when they give up an idle
// connection, is not taken for that of the next call, which may be another
// account's; nor are all the calls after it then answered one too late.
func TestRoundTrip_UnsolicitedAnswer(t *testing.T) {
	f := func(name, unasked string) {
		t.Helper()
		sent := make(chan struct{})
		up := newRaw(t, func(n int, c net.Conn, br *bufio.Reader) {
			for first := n == 1; ; first = false {
				head, _, err := readRequest(br)
				if err != nil {
					return
				}
				reply(c, strings.Fields(head)[1])
				if first {
					<-sent
					io.WriteString(c, unasked)
					arrives(t, c)
					sent <- struct{}{}
				}
			}
		})
		s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
		for i, appid := range []string{merchant, merchant2, merchant, merchant2} {
			got := s.call(t, "POST", fmt.Sprintf("/call%d", i), "b", "X-Wechat-Appid: "+appid)
			if want := fmt.Sprintf("/call%d?access_token=tok-authorizer-%s-1", i, appid); got.status != 200 || got.body != want {
				t.Errorf("%s, call %d: %d %q %v, want %q", name, i, got.status, got.body, got.err, want)
			}
			if i == 0 {
				sent <- struct{}{}
				<-sent
			}
		}
		if n := up.conns.Load(); n != 2 {
			t.Errorf("%s: %d connections, want 2", name, n)
		}
	}
	f("farewell", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntimeout")
	f("second answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	f("stray bytes", "\r\n")
}

// The same in one piece with the answer.
func TestRoundTrip_UnsolicitedAnswerAtOnce(t *testing.T) {
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			head, _, err := readRequest(br)
			if err != nil {
				return
			}
			text := strings.Fields(head)[1]
			one := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			io.WriteString(c, one+one)
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}, DefaultAppID: merchant})
	for i := range 3 {
		path := fmt.Sprintf("/call%d", i)
		if got := s.call(t, "GET", path, ""); !strings.HasPrefix(got.body, path+"?") {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
}

// A call over a kept connection allocates nothing.
func TestConn_KeptDoesNotAllocate(t *testing.T) {
	call := keptCall(t)
	if n := testing.AllocsPerRun(100, call); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

// Signals, with which Go's scheduler preempts what runs long, cost no connection.
func TestConn_UsableDespiteSignals(t *testing.T) {
	ours, _ := connPair(t, "tcp")
	c := newConn(ours, &host{}, time.Now, 0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Kill(unix.Getpid(), unix.SIGURG)
			}
		}
	}()
	for i := range 20_000 {
		if !c.usable() {
			t.Errorf("look %d took a quiet connection for one that is not", i)
			break
		}
	}
	close(stop)
	<-stopped
}
