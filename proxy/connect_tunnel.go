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
	// tunnelIdle ends a tunnel through which nothing moves either way. Apps keep
	// connections for their next call.
	tunnelIdle = 5 * time.Minute
	// tunnelQuiet is tunnelIdle while the sidecar stops.
	tunnelQuiet = time.Second
	// maxTunnels bounds all tunnels together; each has two descriptors.
	maxTunnels = 4096
	// tunnelBuffer holds a record of TLS.
	tunnelBuffer = 16<<10 + 512
)

// ending is a connection that must end before the sidecar does.
type ending interface {
	// soften asks it to end when nothing moves.
	soften()
	// close ends it.
	close()
}

// tunnels are those that are open. The zero value is ready.
type tunnels struct {
	mu       sync.Mutex
	open     map[ending]struct{}
	stopping bool
	empty    chan struct{} // closed when the last one went, while stopping
}

// add enters t, unless there are too many or the sidecar is stopping.
func (ts *tunnels) add(t ending) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.stopping || len(ts.open) >= maxTunnels {
		return false
	}
	if ts.open == nil {
		ts.open = map[ending]struct{}{}
	}
	ts.open[t] = struct{}{}
	return true
}

func (ts *tunnels) remove(t ending) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
	if ts.stopping && len(ts.open) == 0 {
		close(ts.empty)
	}
}

// soften takes no more tunnels and asks those that are open to end.
func (ts *tunnels) soften() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.stopping {
		return
	}
	ts.stopping, ts.empty = true, make(chan struct{})
	if len(ts.open) == 0 {
		close(ts.empty)
	}
	for t := range ts.open {
		t.soften()
	}
}

// wait returns when all have ended. Those that the server of calls has already
// waited for are closed at once, the others when ctx ends, whose error is then
// returned.
func (ts *tunnels) wait(ctx context.Context) error {
	ts.close(func(t ending) bool { _, served := t.(*insideConn); return served })
	select {
	case <-ts.empty:
		return nil
	case <-ctx.Done():
	}
	ts.close(func(ending) bool { return true })
	select {
	case <-ts.empty:
	case <-time.After(tunnelQuiet):
	}
	return ctx.Err()
}

func (ts *tunnels) close(which func(ending) bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.open {
		if which(t) {
			t.close()
		}
	}
}

// tunnel passes bytes between an app and a host untouched.
type tunnel struct {
	app, remote net.Conn
	now         func() time.Time
	moved       atomic.Int64 // when a byte last moved, nanoseconds since 1970
	softened    atomic.Bool
}

// run passes bytes until both sides have finished, one broke, or nothing moves. It
// closes the host's side; conn, which reads the app's, is the caller's to close.
func (t *tunnel) run(conn net.Conn) {
	t.moved.Store(t.now().UnixNano())
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.pump(t.app, t.remote)
	}()
	// What came right behind the CONNECT is in conn's buffer.
	t.pump(t.remote, conn)
	<-done
	_ = t.remote.Close() // all that came was passed on, or could not be
}

// pump passes bytes one way. The end of src becomes the end of dst, so that the
// other way can go on; any other trouble ends both.
func (t *tunnel) pump(dst, src net.Conn) {
	buf := make([]byte, tunnelBuffer)
	for {
		n, err := t.read(src, buf)
		if n > 0 {
			t.moved.Store(t.now().UnixNano())
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

// read reads from src. A deadline that passes ends it only if nothing moved the
// other way either.
func (t *tunnel) read(src net.Conn, buf []byte) (int, error) {
	for {
		idle := t.idle()
		if err := src.SetReadDeadline(t.now().Add(idle)); err != nil {
			return 0, err
		}
		if t.idle() != idle {
			continue // softened in between
		}
		n, err := src.Read(buf)
		if n == 0 && err != nil && isTimeout(err) && t.now().Sub(time.Unix(0, t.moved.Load())) < t.idle() {
			continue
		}
		return n, err
	}
}

func (t *tunnel) idle() time.Duration {
	if t.softened.Load() {
		return tunnelQuiet
	}
	return tunnelIdle
}

// soften implements [ending].
func (t *tunnel) soften() {
	t.softened.Store(true)
	soon := t.now().Add(tunnelQuiet)
	_ = t.app.SetReadDeadline(soon)
	_ = t.remote.SetReadDeadline(soon)
}

// close implements [ending].
func (t *tunnel) close() {
	_ = t.app.Close()
	_ = t.remote.Close()
}

// closeWrite tells the other side of c that nothing more comes.
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
