package proxy

import "golang.org/x/sys/unix"

// hungUp reports whether the other end of a socket has closed it. Unlike a look at
// what can be read, this sees the end behind bytes that wait: those of a next call,
// or TLS's own farewell.
func hungUp(fd uintptr) bool {
	const closed = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0 && set[0].Revents&closed != 0
}

// silent reports whether nothing has come over a socket that waits to be read, and
// not its end either.
func silent(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	n, err := unix.Poll(set, 0)
	return err == nil && n == 0
}
