// Package listeners closes what a server listens on, however early it is stopped.
//
// fasthttp knows a listener only from some moment of its Serve on, so that a
// Shutdown right after a start would miss it, and Serve would go on for ever.
//
// The package makes no API promise outside this module.
package listeners

import (
	"net"
	"sync"
)

// Set has the listeners of one server. The zero value has none and is ready. Its
// methods are safe for concurrent use.
type Set struct {
	mu      sync.Mutex
	open    []net.Listener
	stopped bool
}

// Add notes ln and returns what to serve in its place, which may be closed more than
// once. It returns nil when the set was stopped already; ln is then closed.
func (s *Set) Add(ln net.Listener) net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = ln.Close() // nobody has connected through it
		return nil
	}
	ln = &once{Listener: ln}
	s.open = append(s.open, ln)
	return ln
}

// Stop closes all that were added, and from then on what is added.
func (s *Set) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, ln := range s.open {
		_ = ln.Close() // the server that serves it closes it again and reports the error
	}
}

// once is a listener that can be closed more than once.
type once struct {
	net.Listener
	close sync.Once
	err   error
}

// Close implements [net.Listener].
func (l *once) Close() error {
	l.close.Do(func() { l.err = l.Listener.Close() })
	return l.err
}
