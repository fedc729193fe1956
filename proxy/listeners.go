package proxy

import (
	"net"
	"sync"
)

// listeners are those that a server serves. fasthttp knows a listener only from
// some moment of its Serve on, so that a Shutdown right after a start would miss
// it.
type listeners struct {
	mu      sync.Mutex
	open    []net.Listener
	stopped bool
}

// add notes ln; false when the server was stopped already.
func (l *listeners) add(ln net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.open = append(l.open, ln)
	}
	return !l.stopped
}

func (l *listeners) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for _, ln := range l.open {
		_ = ln.Close() // fasthttp reports the error of its own close
	}
}

// serveOn serves what ln accepts.
func (s *Server) serveOn(ln net.Listener) error {
	ln = &onceListener{Listener: ln}
	if !s.listeners.add(ln) {
		return ln.Close()
	}
	return s.http.Serve(ln)
}

// onceListener can be closed more than once.
type onceListener struct {
	net.Listener
	once sync.Once
	err  error
}

// Close implements [net.Listener].
func (l *onceListener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}
