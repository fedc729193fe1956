package proxy

import "golang.org/x/sys/unix"

// peerClosed reports whether the peer of a socket has closed it. Unlike a peek, it sees
// the end behind unread bytes, such as those of a pipelined call or TLS's close_notify.
func peerClosed(fd uintptr) bool {
	const closed = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR
	got, err := look(fd, unix.POLLRDHUP)
	return err == nil && got&closed != 0
}

// noInput reports whether a socket has neither unread bytes nor reached its end.
func noInput(fd uintptr) bool {
	got, err := look(fd, unix.POLLIN|unix.POLLRDHUP)
	return err == nil && got == 0
}
