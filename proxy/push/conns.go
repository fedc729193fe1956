package push

import (
	"container/list"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// conns are the open connections. It is safe for concurrent use.
type conns struct {
	max int
	log *slog.Logger
	now func() time.Time

	mu sync.Mutex
	// unverified connections have brought no valid push, verified ones have; the longest open
	// is first.
	unverified, verified list.List
	stopped              bool
	freeScheduled        bool // freeMemory is to be called
	warned               time.Time
	// changed is closed and replaced when a connection is removed while stopped.
	changed chan struct{}
}

// conn is one connection.
type conn struct {
	net.Conn
	now func() time.Time // for deadlines
	// ahead is what was read beyond a request's head.
	ahead []byte

	// conns.mu guards the fields below.
	element  *list.Element // nil once it is removed
	verified bool          // has brought a valid push
	active   bool          // a request is being read or answered
}

func newConns(o Options) *conns {
	return &conns{max: o.MaxConns, log: o.Log, now: o.Now, changed: make(chan struct{})}
}

// add adds an accepted connection. If there are too many it closes the unverified one that
// has been open longest. It does not go by the last byte, since a byte now and then costs
// an attacker nothing. add closes nc and returns nil once the set is stopped, or if all
// connections are verified.
func (s *conns) add(nc net.Conn) *conn {
	c, leaves := s.register(nc)
	if leaves != nil {
		_ = leaves.Close() // whatever was answered has been written
	}
	return c
}

// register adds nc and returns it, or nil, and the connection to close, or nil. Closing may
// take the kernel long, so the caller closes without the lock, which new connections wait
// for.
func (s *conns) register(nc net.Conn) (c *conn, leaves net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, nc
	}
	if s.openLocked() >= s.max {
		oldest := s.takeOldestLocked()
		if oldest == nil {
			return nil, nc
		}
		leaves = oldest
	}
	c = &conn{Conn: nc, now: s.now}
	c.element = s.unverified.PushBack(c)
	if s.openLocked() >= manyConns && !s.freeScheduled {
		s.freeScheduled = true
		time.AfterFunc(freeEvery, s.freeMemory)
	}
	return c, leaves
}

const (
	// manyConns is more connections than pushes alone need.
	manyConns = 256
	// freeEvery is how often the number of connections is checked after a flood.
	freeEvery = 2 * time.Second
)

// freeMemory returns a flood's memory to the system once its connections are gone. The
// runtime alone would keep it for minutes.
func (s *conns) freeMemory() {
	s.mu.Lock()
	s.freeScheduled = s.openLocked() >= manyConns/4
	again := s.freeScheduled
	s.mu.Unlock()
	if again {
		time.AfterFunc(freeEvery, s.freeMemory)
		return
	}
	debug.FreeOSMemory()
}

func (s *conns) openLocked() int { return s.unverified.Len() + s.verified.Len() }

// makeRoom closes the unverified connection that has been open longest.
func (s *conns) makeRoom() {
	s.mu.Lock()
	oldest := s.takeOldestLocked()
	s.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // whatever was answered has been written
	}
}

// takeOldestLocked removes and returns the unverified connection that has been open
// longest; nil if there is none.
func (s *conns) takeOldestLocked() *conn {
	if now := s.now(); now.Sub(s.warned) >= time.Minute {
		s.warned = now
		s.log.Warn("push listener is full; connections that brought no valid push are closed, the longest open first",
			"open", s.openLocked(), "verified", s.verified.Len(), "hint", "limit connections in the proxy in front of it")
	}
	oldest := s.unverified.Front()
	if oldest == nil {
		return nil
	}
	c := oldest.Value.(*conn)
	s.removeLocked(c)
	return c
}

// removeLocked removes c. A connection may be removed more than once.
func (s *conns) removeLocked(c *conn) {
	if c.element == nil {
		return
	}
	s.listOfLocked(c).Remove(c.element)
	c.element = nil
	if s.stopped {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *conns) listOfLocked(c *conn) *list.List {
	if c.verified {
		return &s.verified
	}
	return &s.unverified
}

// close closes and removes c. It may be called more than once.
func (s *conns) close(c *conn) {
	_ = c.Close() // whatever was answered has been written
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(c)
}

// markVerified records that c has brought a valid push.
func (s *conns) markVerified(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.verified || c.element == nil {
		return
	}
	s.unverified.Remove(c.element)
	c.verified = true
	c.element = s.verified.PushBack(c)
}

// setIdle records that c waits for a request. It returns how long it may wait, and whether it
// may at all.
func (s *conns) setIdle(c *conn) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.active = false
	if c.verified {
		return verifiedIdle, !s.stopped
	}
	return headTime, !s.stopped
}

// setActive records that a request has begun to arrive on c.
func (s *conns) setActive(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.active = true
}

func (s *conns) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// stop closes idle connections, and makes the others close once they are idle. It returns
// how many are left, and a channel that is closed when that number changes.
func (s *conns) stop() (left int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, l := range []*list.List{&s.unverified, &s.verified} {
		for e := l.Front(); e != nil; {
			c := e.Value.(*conn)
			e = e.Next()
			if !c.active {
				_ = c.Close() // nothing was said
				s.removeLocked(c)
			}
		}
	}
	return s.openLocked(), s.changed
}

// Read implements [net.Conn]. What was read ahead comes first.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}
