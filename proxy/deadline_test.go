package proxy

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// timedConn keeps the deadlines that it was given.
type timedConn struct {
	fakeConn
	deadlines []time.Time
}

func (c *timedConn) Read(p []byte) (int, error)  { return copy(p, "x"), nil }
func (c *timedConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *timedConn) SetDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

// A transfer that moves gets a new deadline once a second; one that stands still
// gets none.
func TestConn_DeadlineMoves(t *testing.T) {
	now := time.Unix(1000, 0)
	nc := &timedConn{}
	c := newConn(nc, &host{}, func() time.Time { return now }, 0)
	read := func(times int) {
		for range times {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	read(3)
	if len(nc.deadlines) != 0 {
		t.Errorf("before the body: deadlines %v", nc.deadlines)
	}
	c.streaming = true
	read(3)
	now = now.Add(time.Second)
	read(3)
	want := []time.Time{time.Unix(1000, 0).Add(idleTimeout), now.Add(idleTimeout)}
	if len(nc.deadlines) != 2 || !nc.deadlines[0].Equal(want[0]) || !nc.deadlines[1].Equal(want[1]) {
		t.Errorf("deadlines %v, want %v", nc.deadlines, want)
	}
}

// slowUplink takes ten seconds for each piece of what is written.
type slowUplink struct {
	fakeConn
	now   time.Time
	until time.Time
}

func (c *slowUplink) SetDeadline(t time.Time) error      { c.until = t; return nil }
func (c *slowUplink) SetWriteDeadline(t time.Time) error { c.until = t; return nil }
func (c *slowUplink) SetReadDeadline(time.Time) error    { return nil }
func (c *slowUplink) Read([]byte) (int, error)           { return 0, io.EOF }
func (c *slowUplink) Write(p []byte) (int, error) {
	if c.now = c.now.Add(10 * time.Second * time.Duration(1+len(p)/pieceBytes)); c.now.After(c.until) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

// A long body moves for as long as it takes, whether it is kept or not; the timeout
// begins with its last byte.
func TestConn_LongKeptBodyMoves(t *testing.T) {
	nc := &slowUplink{now: time.Unix(1000, 0)}
	c := newConn(nc, &host{}, func() time.Time { return nc.now }, 0)
	r := &request{requestHead: requestHead{method: []byte("POST"), path: []byte("/x")}}
	r.body.open(&pattern{n: 1 << 20}, quietConn{}, 1<<20, time.Now)
	if f := r.body.buffer(1<<20, &replayMemory{limit: 2 << 20}); f != nil || !r.body.whole {
		t.Fatal(f)
	}
	const timeout = 30 * time.Second
	if err := c.setHeadDeadline(nc.now, timeout); err != nil {
		t.Fatal(err)
	}
	if err := c.send(r, nil, timeout); err != nil {
		t.Errorf("after %v: %v", nc.now.Sub(time.Unix(1000, 0)), err)
	}
	if left := c.until.Sub(nc.now); left != timeout {
		t.Errorf("%v are left for the answer, want %v", left, timeout)
	}
}

// readDeadlines is an app's connection that keeps the deadlines for reading.
type readDeadlines struct {
	fakeConn
	at []time.Time
}

func (c *readDeadlines) Read([]byte) (int, error) {
	return 0, io.EOF
}
func (c *readDeadlines) Write(p []byte) (int, error) { return len(p), nil }
func (c *readDeadlines) SetReadDeadline(t time.Time) error {
	c.at = append(c.at, t)
	return nil
}

// An upload that moves may last: it gets a new deadline once a second.
func TestBody_DeadlineMoves(t *testing.T) {
	now := time.Unix(1000, 0)
	app := &readDeadlines{}
	var b body
	b.open(strings.NewReader(strings.Repeat("u", 1<<20)), app, 1<<20, func() time.Time { return now })
	for range 2 * int(idleTimeout/time.Second) {
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if latest := app.at[len(app.at)-1]; latest.Sub(now) <= idleTimeout-time.Second {
			t.Fatalf("%v left", latest.Sub(now))
		}
		now = now.Add(500 * time.Millisecond)
	}
	if n := int(idleTimeout / time.Second); len(app.at) != n {
		t.Errorf("%d deadlines in %d seconds", len(app.at), n)
	}
}

func TestStream_DeadlineMoves(t *testing.T) {
	now := time.Unix(1000, 0)
	var deadlines []time.Time
	st := &stream{
		u: &upstream{now: func() time.Time { return now }}, remaining: -1, src: strings.NewReader("abcdef"),
		deadline: func(at time.Time) { deadlines = append(deadlines, at) },
	}
	buf := make([]byte, 1)
	for range 4 {
		if _, err := io.ReadFull(st, buf); err != nil {
			t.Fatal(err)
		}
		now = now.Add(500 * time.Millisecond)
	}
	if len(deadlines) != 2 || deadlines[1].Sub(deadlines[0]) != time.Second {
		t.Errorf("deadlines %v, want two, a second apart", deadlines)
	}
}

func TestReadTrailer(t *testing.T) {
	f := func(text string, want error, rest string) {
		t.Helper()
		br := bufio.NewReader(strings.NewReader(text))
		if err := readTrailer(br); !errors.Is(err, want) && want != nil || err == nil {
			t.Errorf("readTrailer(%.40q) = %v, want %v", text, err, want)
		}
		if got, _ := br.Peek(br.Buffered()); errors.Is(want, io.EOF) && string(got) != rest {
			t.Errorf("readTrailer(%.40q) left %q, want %q", text, got, rest)
		}
	}
	f("\r\nHTTP/1.1", io.EOF, "HTTP/1.1")
	f("A: 1\r\nB: 2\r\n\r\nnext", io.EOF, "next")
	f("", io.ErrUnexpectedEOF, "")
	f("A: 1\r\n", io.ErrUnexpectedEOF, "")
	f(strings.Repeat("A: 1\r\n", 5000), nil, "")
}
