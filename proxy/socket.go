package proxy

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// appClosed reports whether the app at the other end of c has closed the connection, or
// its own direction, which no client does that waits for an answer. It reads nothing. It
// returns false where the system cannot tell.
func appClosed(c net.Conn) bool {
	raw := socketOf(c)
	if raw == nil {
		return false
	}
	closed := false
	err := raw.Control(func(fd uintptr) { closed = peerClosed(fd) })
	return closed || err != nil
}

// socketOf returns the socket below c, or nil.
func socketOf(c net.Conn) syscall.RawConn {
	for {
		switch v := c.(type) {
		case *appConn:
			c = v.Conn
		case *interceptedConn:
			c = v.raw
		case interface{ NetConn() net.Conn }: // TLS
			c = v.NetConn()
		case syscall.Conn:
			raw, err := v.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		default:
			return nil
		}
	}
}

// look returns which of events have come to a socket, and errors of it. It does not wait.
func look(fd uintptr, events int16) (int16, error) {
	set := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		// Go's scheduler sends signals to its own threads; each ends a poll.
		if _, err := unix.Poll(set[:], 0); !errors.Is(err, unix.EINTR) {
			return set[0].Revents, err
		}
	}
}
