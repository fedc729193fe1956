package redistest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Link is a TCP proxy to one server that spoils what passes, as a bad network does. Its levers
// are safe for concurrent use and hold for connections there are and for those to come.
type Link struct {
	ln     net.Listener
	target string

	mu           sync.Mutex
	changed      chan struct{} // closed and replaced when what follows changes
	delay        time.Duration
	holdRequests bool
	holdAnswers  bool
	refuse       bool
	loseRequests int
	loseAnswers  int
	lost         int
	conns        map[*linked]bool
	closed       bool
}

// linked is one connection through a link: both of its ends.
type linked struct {
	client, server net.Conn
	gone           chan struct{}
	once           sync.Once
	loseAnswer     bool // guarded by Link.mu: what comes back next is lost
}

func (c *linked) cut() {
	c.once.Do(func() {
		close(c.gone)
		_, _ = c.client.Close(), c.server.Close()
	})
}

// NewLink returns a link to the server at addr. It ends with the test.
func NewLink(t testing.TB, addr string) *Link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{ln: ln, target: addr, changed: make(chan struct{}), conns: map[*linked]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() { l.accept(&wg) })
	t.Cleanup(func() {
		l.close()
		wg.Wait()
	})
	return l
}

// Addr returns the host and port that clients connect to.
func (l *Link) Addr() string { return l.ln.Addr().String() }

func (l *Link) accept(wg *sync.WaitGroup) {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return
		}
		if l.refuses() {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &linked{client: client, server: server, gone: make(chan struct{})}
		if !l.add(c) {
			return
		}
		wg.Go(func() { l.pump(c, server, client, l.request) })
		wg.Go(func() { l.pump(c, client, server, l.answer) })
	}
}

func (l *Link) refuses() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refuse
}

func (l *Link) add(c *linked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.refuse {
		c.cut()
		return !l.closed
	}
	l.conns[c] = true
	return true
}

// fate is what becomes of bytes on their way.
type fate int

const (
	passes fate = iota
	held
	isLost // with the connection
)

// pump carries what from sends to to, as decide says.
func (l *Link) pump(c *linked, to, from net.Conn, decide func(*linked) (fate, time.Duration, <-chan struct{})) {
	defer l.remove(c)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !l.carry(c, decide) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// carry waits as long as bytes are held or delayed, and reports whether they pass.
func (l *Link) carry(c *linked, decide func(*linked) (fate, time.Duration, <-chan struct{})) bool {
	for {
		what, delay, changed := decide(c)
		switch what {
		case isLost:
			return false
		case passes:
			if delay == 0 {
				return true
			}
			select {
			case <-time.After(delay):
				return true
			case <-c.gone:
				return false
			}
		case held:
			select {
			case <-changed:
			case <-c.gone:
				return false
			}
		}
	}
}

func (l *Link) request(c *linked) (fate, time.Duration, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.holdRequests:
		return held, 0, l.changed
	case l.loseRequests > 0:
		l.loseRequests--
		l.lost++
		return isLost, 0, nil
	case l.loseAnswers > 0:
		l.loseAnswers--
		c.loseAnswer = true
	}
	return passes, l.delay, nil
}

func (l *Link) answer(c *linked) (fate, time.Duration, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.holdAnswers:
		return held, 0, l.changed
	case c.loseAnswer:
		l.lost++
		return isLost, 0, nil
	}
	return passes, l.delay, nil
}

func (l *Link) remove(c *linked) {
	c.cut()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Link) close() {
	_ = l.ln.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.cutLocked()
}
