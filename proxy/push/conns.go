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
	// strangers have not brought a valid push, the longest open first; proven have.
	strangers, proven list.List
	stopped           bool
	crowded           bool // ebb is to be called
	warned            time.Time
	// changed is closed and replaced when a connection ends while stopped.
	changed chan struct{}
}

// conn is one connection.
type conn struct {
	net.Conn
	now func() time.Time // for deadlines
	// ahead is what was read beyond the head of a request.
	ahead []byte

	// conns.mu guards the rest.
	place  *list.Element // nil once it is closed
	valid  bool          // it has brought a valid push
	active bool          // a request is under way
}

func newConns(o Options) *conns {
	return &conns{max: o.MaxConns, log: o.Log, now: o.Now, changed: make(chan struct{})}
}

// add notes a connection that was accepted. Where there are too many, the stranger
// that has been open for longest makes room; by whose bytes came last would not do,
// as a byte now and then costs its sender nothing. add returns nil, and closes nc,
// once the set is stopped, or where all are proven.
func (s *conns) add(nc net.Conn) *conn {
	c, leaves := s.note(nc)
	if leaves != nil {
		_ = leaves.Close() // whatever was answered has been written
	}
	return c
}

// note returns what nc is in the set, or nil, and the connection to close, or nil.
// Nothing is closed under the lock: for the kernel that may be long work, and the
// newcomers behind wait for the lock.
func (s *conns) note(nc net.Conn) (c *conn, leaves net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, nc
	}
	if s.open() >= s.max {
		oldest := s.takeOldest()
		if oldest == nil {
			return nil, nc
		}
		leaves = oldest
	}
	c = &conn{Conn: nc, now: s.now}
	c.place = s.strangers.PushBack(c)
	if s.open() >= crowd && !s.crowded {
		s.crowded = true
		time.AfterFunc(ebbEvery, s.ebb)
	}
	return c, leaves
}

const (
	// crowd is more connections than pushes alone bring.
	crowd = 256
	// ebbEvery is how often it is looked whether a crowd has gone.
	ebbEvery = 2 * time.Second
)

// ebb gives the memory that a crowd took back to the system once it has gone. The
// runtime by itself would keep it for minutes.
func (s *conns) ebb() {
	s.mu.Lock()
	s.crowded = s.open() >= crowd/4
	again := s.crowded
	s.mu.Unlock()
	if again {
		time.AfterFunc(ebbEvery, s.ebb)
		return
	}
	debug.FreeOSMemory()
}

// open needs the lock.
func (s *conns) open() int { return s.strangers.Len() + s.proven.Len() }

// makeRoom closes the stranger that has been open for longest.
func (s *conns) makeRoom() {
	s.mu.Lock()
	oldest := s.takeOldest()
	s.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // whatever was answered has been written
	}
}

// takeOldest needs the lock. It takes the stranger that has been open for longest out
// of the set, and returns nil where there is none.
func (s *conns) takeOldest() *conn {
	if now := s.now(); now.Sub(s.warned) >= time.Minute {
		s.warned = now
		s.log.Warn("push listener is full; connections that brought no valid push are closed, the longest open first",
			"open", s.open(), "proven", s.proven.Len(), "hint", "limit connections in the proxy in front of it")
	}
	oldest := s.strangers.Front()
	if oldest == nil {
		return nil
	}
	c := oldest.Value.(*conn)
	s.remove(c)
	return c
}

// remove needs the lock. A connection may be removed more than once.
func (s *conns) remove(c *conn) {
	if c.place == nil {
		return
	}
	s.listOf(c).Remove(c.place)
	c.place = nil
	if s.stopped {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *conns) listOf(c *conn) *list.List {
	if c.valid {
		return &s.proven
	}
	return &s.strangers
}

// end closes a connection. It may have been closed before.
func (s *conns) end(c *conn) {
	_ = c.Close() // whatever was answered has been written
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c)
}

// prove notes that a connection has brought a valid push.
func (s *conns) prove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.valid || c.place == nil {
		return
	}
	s.strangers.Remove(c.place)
	c.valid = true
	c.place = s.proven.PushBack(c)
}

// rest notes that a connection waits for a request. It reports whether it may, and
// for how long.
func (s *conns) rest(c *conn) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.active = false
	if c.valid {
		return provenIdle, !s.stopped
	}
	return headTime, !s.stopped
}

// begin notes that a request has begun to arrive.
func (s *conns) begin(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.active = true
}

func (s *conns) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// stop closes the connections that wait for a request, and from then on those that
// begin to. It returns how many are left, and what is closed when that changes.
func (s *conns) stop() (left int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, l := range []*list.List{&s.strangers, &s.proven} {
		for e := l.Front(); e != nil; {
			c := e.Value.(*conn)
			e = e.Next()
			if !c.active {
				_ = c.Close() // nothing was said
				s.remove(c)
			}
		}
	}
	return s.open(), s.changed
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
