//go:build !linux

package proxy

import "golang.org/x/sys/unix"

// hungUp cannot tell here; that an app left is noticed when its answer is written.
func hungUp(uintptr) bool { return false }

// silent reports whether nothing has come over a socket that waits to be read, and
// not its end either.
func silent(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n == 0
}
