//go:build !linux

package proxy

import "golang.org/x/sys/unix"

// peerClosed cannot tell here. That an app has left shows when its answer is written.
func peerClosed(uintptr) bool { return false }

// noInput reports whether a socket has neither unread bytes nor reached its end.
func noInput(fd uintptr) bool {
	got, err := look(fd, unix.POLLIN)
	return err == nil && got == 0
}
