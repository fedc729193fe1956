package push

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipe returns a connection of the set, or nil, and whether its peer sees it open.
func pipe(t *testing.T, s *conns) (*conn, func() bool) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	open := func() bool {
		if err := theirs.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			return false // its peer is closed
		}
		_, err := theirs.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	return s.add(ours), open
}

func TestConns_TheOldestUnverifiedMakesRoom(t *testing.T) {
	var log strings.Builder
	s := newConns(Options{MaxConns: 3, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	want := func(what string, open func() bool, want bool) {
		t.Helper()
		if open() != want {
			t.Errorf("%s is open: %v", what, !want)
		}
	}
	first, firstOpen := pipe(t, s)
	_, secondOpen := pipe(t, s)
	third, thirdOpen := pipe(t, s)
	s.markVerified(first)
	fourth, fourthOpen := pipe(t, s)
	want("the oldest stranger", secondOpen, false)
	s.markVerified(third)
	s.markVerified(fourth)
	fifth, fifthOpen := pipe(t, s)
	want("a newcomer to proven ones alone", fifthOpen, false)
	want("the first", firstOpen, true)
	want("the third", thirdOpen, true)
	want("the fourth", fourthOpen, true)
	if fifth != nil || strings.Count(log.String(), "push listener is full") != 1 || !strings.Contains(log.String(), "open=3") {
		t.Errorf("%v, logged %s", fifth, &log)
	}
	s.close(third)
	s.close(third)
	s.markVerified(third) // it is gone
	if _, open := pipe(t, s); !open() {
		t.Error("there is room, and the newcomer is closed")
	}
	if left, _ := s.stop(); left != 0 {
		t.Errorf("%d connections are left", left)
	}
}

// slowToClose notes whether the set's lock is held while it is closed.
type slowToClose struct {
	net.Conn
	of     *conns
	locked bool
}

func (c *slowToClose) Close() error {
	if c.locked = !c.of.mu.TryLock(); !c.locked {
		c.of.mu.Unlock()
	}
	return nil
}

// What takes long to close, as much was sent and not read, keeps no newcomer waiting.
func TestConns_ClosesOutsideTheLock(t *testing.T) {
	s := newConns(Options{MaxConns: 1, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	crowdedOut, short, ended := &slowToClose{of: s}, &slowToClose{of: s}, &slowToClose{of: s}
	s.add(crowdedOut)
	s.add(short)
	s.makeRoom()
	s.close(s.add(ended))
	if crowdedOut.locked || short.locked || ended.locked {
		t.Errorf("closed under the lock: by a newcomer %v, by a shortage %v, at its end %v", crowdedOut.locked, short.locked, ended.locked)
	}
}

// shortListener is short of files at first.
type shortListener struct {
	net.Listener
	shortage int
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.shortage--; l.shortage >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// A shortage of files ends no listener, and those that brought nothing make room.
func TestServe_OutlivesAShortage(t *testing.T) {
	s, err := New(Options{Handler: &refusals{}})
	if err != nil {
		t.Fatal(err)
	}
	_, open := pipe(t, s.conns)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(&shortListener{ln, 2}) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403") {
		t.Errorf("answer %q, %v", answer, err)
	}
	if open() {
		t.Error("the connection that brought nothing is open")
	}
	conn.Close()
	if err := errors.Join(s.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

func TestServe_TellsABrokenListener(t *testing.T) {
	s, err := New(Options{Handler: &refusals{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(brokenListener{}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve: %v", err)
	}
}

type brokenListener struct{}

func (brokenListener) Accept() (net.Conn, error) { return nil, syscall.EINVAL }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }

// A connection that has brought a valid push may rest between two for longer.
func TestServer_VerifiedConnectionsMayIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, told := serveAlone(t, func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(validPush(t, 0), "Connection: close\r\n", "", 1))
			_, _ = io.Copy(io.Discard, c)
		})
		if took != verifiedIdle || len(told) != 0 {
			t.Errorf("the connection was held for %s, and the handler told %q", took, told)
		}
	})
}
