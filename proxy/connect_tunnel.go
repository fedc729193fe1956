package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tunnelIdle ends a tunnel through which nothing moves in either direction. Apps keep
	// connections open for their next call.
	tunnelIdle = 5 * time.Minute
	// tunnelDrainIdle is tunnelIdle while the sidecar stops.
	tunnelDrainIdle = time.Second
	// maxTunnels bounds all tunnels together; each has two descriptors.
	maxTunnels = 4096
	// tunnelBuffer holds a record of TLS.
	tunnelBuffer = 16<<10 + 512
)

// drainer is a connection that must end before the process does.
type drainer interface {
	// drain makes it end as soon as nothing moves.
	drain()
	// close ends it at once.
	close()
}

// tunnels are the open tunnels. The zero value is ready to use.
type tunnels struct {
	mu       sync.Mutex
	open     map[drainer]struct{}
	draining bool
	empty    chan struct{} // closed when the last one was removed, while stopping
}

// add adds t, unless there are too many or the sidecar is stopping. It reports whether it did.
func (ts *tunnels) add(t drainer) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.draining || len(ts.open) >= maxTunnels {
		return false
	}
	if ts.open == nil {
		ts.open = map[drainer]struct{}{}
	}
	ts.open[t] = struct{}{}
	return true
}

func (ts *tunnels) remove(t drainer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
	if ts.draining && len(ts.open) == 0 {
		close(ts.empty)
	}
}

// drain refuses new tunnels and makes the open ones end as soon as nothing moves.
func (ts *tunnels) drain() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.draining {
		return
	}
	ts.draining, ts.empty = true, make(chan struct{})
	if len(ts.open) == 0 {
		close(ts.empty)
	}
	for t := range ts.open {
		t.drain()
	}
}

// wait returns when all have ended. It closes intercepted ones at once, since the server
// of calls has waited for them, and the others when ctx ends. It then returns ctx's error.
func (ts *tunnels) wait(ctx context.Context) error {
	ts.close(func(t drainer) bool { _, served := t.(*interceptedConn); return served })
	select {
	case <-ts.empty:
		return nil
	case <-ctx.Done():
	}
	ts.close(func(drainer) bool { return true })
	select {
	case <-ts.empty:
	case <-time.After(tunnelDrainIdle):
	}
	return ctx.Err()
}

func (ts *tunnels) close(which func(drainer) bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.open {
		if which(t) {
			t.close()
		}
	}
}

// tunnel passes bytes between an app and a host unchanged.
type tunnel struct {
	app, remote net.Conn
	now         func() time.Time
	lastMoved   atomic.Int64 // when a byte last moved, nanoseconds since 1970
	draining    atomic.Bool
}

// run passes bytes until both sides have finished, one has failed, or nothing moves. It
// closes the host's side. The caller closes conn, which reads the app's side.
func (t *tunnel) run(conn net.Conn) {
	t.lastMoved.Store(t.now().UnixNano())
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.copyOneWay(t.app, t.remote)
	}()
	// conn's buffer has what came right behind the CONNECT.
	t.copyOneWay(t.remote, conn)
	<-done
	_ = t.remote.Close() // all that came was passed on, or could not be
}

// copyOneWay passes bytes from src to dst. At the end of src it closes dst for writing, so
// that the other direction can go on. Any error ends both.
func (t *tunnel) copyOneWay(dst, src net.Conn) {
	buf := make([]byte, tunnelBuffer)
	for {
		n, err := t.read(src, buf)
		if n > 0 {
			t.lastMoved.Store(t.now().UnixNano())
			_ = dst.SetWriteDeadline(t.now().Add(t.idle()))
			if _, err := dst.Write(buf[:n]); err != nil {
				t.close()
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && closeWrite(dst) == nil:
			return
		default:
			t.close()
			return
		}
	}
}

// read reads from src. It fails after a deadline only if nothing moved in the other
// direction either.
func (t *tunnel) read(src net.Conn, buf []byte) (int, error) {
	for {
		idle := t.idle()
		if err := src.SetReadDeadline(t.now().Add(idle)); err != nil {
			return 0, err
		}
		if t.idle() != idle {
			continue // draining began in between
		}
		n, err := src.Read(buf)
		if n == 0 && err != nil && isTimeout(err) && t.now().Sub(time.Unix(0, t.lastMoved.Load())) < t.idle() {
			continue
		}
		return n, err
	}
}

func (t *tunnel) idle() time.Duration {
	if t.draining.Load() {
		return tunnelDrainIdle
	}
	return tunnelIdle
}

// drain implements [drainer].
func (t *tunnel) drain() {
	t.draining.Store(true)
	soon := t.now().Add(tunnelDrainIdle)
	_ = t.app.SetReadDeadline(soon)
	_ = t.remote.SetReadDeadline(soon)
}

// close implements [drainer].
func (t *tunnel) close() {
	_ = t.app.Close()
	_ = t.remote.Close()
}

// closeWrite closes c for writing.
func closeWrite(c net.Conn) error {
	if a, ok := c.(*appConn); ok {
		c = a.Conn
	}
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
