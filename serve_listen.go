package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// server is what listens: fasthttp's on apps and push, net/http's elsewhere.
type server interface {
	// Serve takes connections until Shutdown, and then returns nil.
	Serve(net.Listener) error
	// Shutdown takes no more and returns when those under way have ended, or with
	// an error when ctx ends first.
	Shutdown(ctx context.Context) error
}

// served is a server and its listener.
type served struct {
	key      string
	server   server
	listener net.Listener
}

// name is the listener's short name: apps for listen.apps.
func (s served) name() string { return s.key[strings.LastIndex(s.key, ".")+1:] }

// address is where the listener really listens, as the configuration writes it.
func (s served) address() string {
	a := s.listener.Addr()
	return config.Address{Network: a.Network(), Text: a.String()}.String()
}

// listen opens the address of a key. mode is for sockets.
func listen(key, text string, mode fs.FileMode) (net.Listener, error) {
	a, err := config.ParseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", key, text, err)
	}
	if a.Network == "unix" {
		l, err := listenUnix(a.Text, mode)
		if err != nil {
			return nil, fmt.Errorf("%s %s: cannot listen: %w%s", key, a, err, socketHint(err))
		}
		return l, nil
	}
	l, err := net.Listen(a.Network, a.Text)
	if err != nil {
		return nil, fmt.Errorf("%s %s: cannot listen: %w%s", key, a, cutOpError(err), listenHint(err))
	}
	return l, nil
}

// cutOpError removes the address from a network error, since the message has it already.
func cutOpError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// maxPushConns returns half of the files that the process may open, at most push's
// default: calls need the others. 0 means that default.
func maxPushConns() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0
	}
	return int(min(push.DefaultMaxConns, files.Cur/2))
}

func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another process has the port: stop it, or give another port"
	case errors.Is(err, syscall.EACCES):
		return "; a port below 1024 needs the capability NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; this machine has no such address"
	default:
		return ""
	}
}

func socketHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "; the folder of the socket does not exist: make it"
	case errors.Is(err, fs.ErrPermission):
		return "; the folder of the socket must be writable for the user that wxsidecar runs as"
	default:
		return ""
	}
}

// listenUnix listens on a socket of that mode. It removes a socket that a killed process
// has left, and refuses one on which a process answers.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if err := removeStaleSocket(path); err != nil {
		return nil, err
	}
	// The umask sets the mode at once; a chmod would come late. It holds for the whole
	// process, which makes no other files while it opens listeners.
	before := syscall.Umask(int(0o777 &^ mode))
	l, err := net.Listen("unix", path)
	syscall.Umask(before)
	if err != nil {
		return nil, cutOpError(err)
	}
	return l, nil
}

func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("a file that is not a socket is in the way")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return errors.New("another process answers on the socket")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return cutOpError(err)
	}
	return os.Remove(path)
}

// httpServer is a server of net/http.
type httpServer struct{ *http.Server }

// Serve is [http.Server.Serve], with nil for the orderly end.
func (s httpServer) Serve(l net.Listener) error {
	if err := s.Server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
