package wechattest

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// listener is the real network side of a server. Its lock is taken before the
// server's.
type listener struct {
	server *Server // whose calls are served; set by New

	mu      sync.Mutex
	addr    string
	secure  bool
	running *http.Server
	done    chan struct{}
	ca      *authority
}

// Start serves plain HTTP on a free port of 127.0.0.1 and returns the URL. It
// panics if it cannot, as httptest does.
func (s *Server) Start() string { return s.mustListen(false) }

// StartTLS is Start with TLS, under a throw-away CA (see [Server.CACertPEM]). The
// certificate holds WeChat's host names, localhost and the loopback addresses.
func (s *Server) StartTLS() string { return s.mustListen(true) }

func (s *Server) mustListen(secure bool) string {
	url, err := s.Listen("127.0.0.1:0", secure)
	if err != nil {
		panic("wechattest: " + err.Error())
	}
	return url
}

// Listen serves on the address addr (host:port) and returns the URL. A server
// listens on one address at a time.
func (s *Server) Listen(addr string, secure bool) (string, error) { return s.net.listen(addr, secure) }

func (l *listener) listen(addr string, secure bool) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running != nil {
		return "", fmt.Errorf("listen on %s: the server listens on %s already", addr, l.addr)
	}
	l.secure = secure
	if err := l.serveLocked(addr); err != nil {
		return "", err
	}
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	return scheme + l.addr, nil
}

// serveLocked opens the listener and starts the one goroutine that accepts.
func (l *listener) serveLocked(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	l.addr = ln.Addr().String()
	if l.secure {
		config, err := l.tlsConfigLocked()
		if err != nil {
			_ = ln.Close()
			return err
		}
		ln = tls.NewListener(ln, config)
	}
	srv := &http.Server{
		Handler:           l.server,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	l.running, l.done = srv, done
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	return nil
}

// Close stops listening, breaks all connections off, lets go of calls that hang
// and waits for the accepting goroutine. It may be called more than once, and on
// a server that never listened.
func (s *Server) Close() {
	s.ClearFaults()
	s.net.close()
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeLocked()
}

func (l *listener) closeLocked() {
	if l.running == nil {
		return
	}
	_ = l.running.Close()
	<-l.done
	l.running = nil
}

// Outage makes WeChat as a whole unreachable, or reachable again. A listening
// server closes its port and its connections, and opens the same port later; the
// error is that of opening it.
func (s *Server) Outage(on bool) error { return s.net.outage(on) }

func (l *listener) outage(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if changed := l.server.setOutage(on); !changed || l.addr == "" {
		return nil
	}
	if on {
		l.closeLocked()
		return nil
	}
	return l.serveLocked(l.addr)
}

// setOutage reports whether it changed anything.
func (s *Server) setOutage(on bool) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = s.outage != on
	s.outage = on
	return changed
}

// Addr returns host:port of the listener; empty if it never listened.
func (s *Server) Addr() string { return s.net.address() }

func (l *listener) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}
