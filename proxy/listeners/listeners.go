// Package listeners closes a server's listeners, however early the server is stopped, and
// keeps them open through a shortage of file descriptors.
//
// fasthttp registers a listener some time after Serve is called. A Shutdown right after the
// start would miss it, and Serve would never return. fasthttp also gives up a listener at
// the first error of Accept.
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

// Set has the listeners of one server. The zero value is empty and ready to use. Its
// methods are safe for concurrent use.
type Set struct {
	// OnShortage, if set, is called with the error of an Accept that will be tried again.
	// It may free file descriptors. It must be set before the first Add.
	OnShortage func(error)

	mu      sync.Mutex
	open    []net.Listener
	stopped bool
}

// Add adds ln and returns the listener to serve instead. That may be closed more than once,
// and its Accept tries again when the process is short of file descriptors or memory. If
// the set is stopped, Add closes ln and returns nil.
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

// Stop closes all listeners in the set, and from then on those that are added.
func (s *Set) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, ln := range s.open {
		_ = ln.Close() // the server that serves it closes it again and reports the error
	}
}

// pause is how long Accept waits before it tries again.
const pause = 20 * time.Millisecond

// listener can be closed more than once, and survives shortages.
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
		if err == nil || !temporary(err) {
			return conn, err
		}
		if l.onShortage != nil {
			l.onShortage(err)
		}
		time.Sleep(pause)
	}
}

// temporary reports whether err is a shortage, or a peer that left early. The listener then still
// works.
func temporary(err error) bool {
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
