package proxy

import (
	"net"
	"syscall"
)

// hasLeft reports whether the app at the other end of c has closed it, or at least
// its own direction, which nobody does who waits for an answer. What the app has
// sent and nobody has read yet stays. Where this cannot be known it is false.
func hasLeft(c net.Conn) bool {
	raw := socketOf(c)
	if raw == nil {
		return false
	}
	left := false
	err := raw.Control(func(fd uintptr) { left = hungUp(fd) })
	return left || err != nil
}

// socketOf returns the socket below c, or nil.
func socketOf(c net.Conn) syscall.RawConn {
	for {
		switch v := c.(type) {
		case *appConn:
			c = v.Conn
		case *insideConn:
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
