package proxy

import (
	"net"
	"syscall"
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
