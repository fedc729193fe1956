// Package listeners closes what a server listens on, however early it is stopped, and
// keeps it open through a shortage of files.
//
// fasthttp knows a listener only from some moment of its Serve on, so that a
// Shutdown right after a start would miss it, and Serve would go on for ever. And it
// gives a listener up at the first connection that cannot be taken.
//
// The package makes no API promise outside this module.
package listeners

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Set has the listeners of one server. The zero value has none and is ready. Its
// methods are safe for concurrent use.
type Set struct {
	// OnShortage, if set, is called when a connection cannot be taken for now, with
	// the reason. It may make room. It is set before the first Add.
	OnShortage func(error)

	mu      sync.Mutex
	open    []net.Listener
	stopped bool
}

// Add notes ln and returns what to serve in its place, which may be closed more than
// once, and whose Accept tries again where the process is short of files or memory. It
// returns nil when the set was stopped already; ln is then closed.
func (s *Set) Add(ln net.Listener) net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = ln.Close() // nobody has connected through it
		return nil
	}
	ln = &listener{Listener: ln, onShortage: s.OnShortage}
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

// pause is how long nobody is accepted when that has failed.
const pause = 20 * time.Millisecond

// listener can be closed more than once, and outlives shortages.
type listener struct {
	net.Listener
	onShortage func(error)
	close      sync.Once
	err        error
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err == nil || !passing(err) {
			return conn, err
		}
		if l.onShortage != nil {
			l.onShortage(err)
		}
		time.Sleep(pause)
	}
}

// passing tells a shortage, or a peer that left early, from a listener that is broken.
func passing(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.close.Do(func() { l.err = l.Listener.Close() })
	return l.err
}
