package proxy

import "golang.org/x/sys/unix"

// peerClosed reports whether the peer of a socket has closed it. Unlike a peek, it sees
// the end behind unread bytes, such as those of a pipelined call or TLS's close_notify.
func peerClosed(fd uintptr) bool {
	const closed = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0 && set[0].Revents&closed != 0
}

// noInput reports whether a socket has neither unread bytes nor reached its end.
func noInput(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	n, err := unix.Poll(set, 0)
	return err == nil && n == 0
}
