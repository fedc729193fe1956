package redistest

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// incr raises a counter of the server and returns what comes back within timeout.
func incr(t *testing.T, c net.Conn, timeout time.Duration) (any, error) {
	t.Helper()
	if _, err := c.Write([]byte(encode([]string{"INCR", "n"}))); err != nil {
		return nil, err
	}
	return answerWithin(c, timeout)
}

func answerWithin(c net.Conn, timeout time.Duration) (any, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	return string(b[:n]), err
}

func through(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func gives(t *testing.T, c net.Conn, want string) {
	t.Helper()
	if got, err := incr(t, c, patience); got != want || err != nil {
		t.Errorf("INCR: %q, %v; want %q", got, err, want)
	}
}

func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := incr(t, c, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("INCR: %q, %v; want a connection that has ended", got, err)
	}
}

func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := incr(t, c, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("INCR: %q, %v; want silence", got, err)
	}
}

func TestLink_Loses(t *testing.T) {
	s := Start(t, Options{})
	l := NewLink(t, s.Addr())
	gives(t, through(t, l), ":1\r\n")
	l.LoseRequests(1)
	ends(t, through(t, l))
	says(t, s, "1", "GET", "n")
	l.LoseAnswers(2)
	ends(t, through(t, l))
	ends(t, through(t, l))
	says(t, s, "3", "GET", "n")
	gives(t, through(t, l), ":4\r\n")
	if l.Lost() != 3 {
		t.Errorf("%d were lost, want 3", l.Lost())
	}
}

func TestLink_Holds(t *testing.T) {
	s := Start(t, Options{})
	l := NewLink(t, s.Addr())
	c := through(t, l)
	gives(t, c, ":1\r\n")
	l.HoldRequests(true)
	silent(t, c)
	says(t, s, "1", "GET", "n")
	l.Heal()
	if got, err := answerWithin(c, patience); got != ":2\r\n" {
		t.Errorf("what was held: %v, %v", got, err)
	}
	l.HoldAnswers(true)
	silent(t, c)
	says(t, s, "3", "GET", "n")
	l.HoldAnswers(false)
	if got, err := answerWithin(c, patience); got != ":3\r\n" {
		t.Errorf("what was held: %v, %v", got, err)
	}
	l.Hang(true)
	silent(t, through(t, l))
	says(t, s, "3", "GET", "n")
}

func TestLink_CutsAndRefuses(t *testing.T) {
	s := Start(t, Options{})
	l := NewLink(t, s.Addr())
	c := through(t, l)
	gives(t, c, ":1\r\n")
	l.Cut()
	ends(t, c)
	c = through(t, l)
	gives(t, c, ":2\r\n")
	l.Refuse(true)
	ends(t, c)
	ends(t, through(t, l))
	l.Refuse(false)
	gives(t, through(t, l), ":3\r\n")
	s.Kill()
	ends(t, through(t, l))
}

func TestLink_Delays(t *testing.T) {
	s := Start(t, Options{})
	l := NewLink(t, s.Addr())
	c := through(t, l)
	l.Delay(time.Minute)
	silent(t, c)
	says(t, s, nil, "GET", "n")
	l.Delay(20 * time.Millisecond)
	c, begun := through(t, l), time.Now()
	gives(t, c, ":1\r\n")
	if took := time.Since(begun); took < 40*time.Millisecond {
		t.Errorf("it took %s, both ways", took)
	}
}
