package proxy

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type countedConn struct {
	fakeUpstream
	closed *atomic.Int64
}

func (c *countedConn) Close() error {
	c.closed.Add(1)
	runtime.Gosched() // to whoever puts one back meanwhile
	return nil
}

// Whatever is put back while a pool is shut, or afterwards, is closed.
func TestPool_ClosedKeepsNothing(t *testing.T) {
	var closed atomic.Int64
	h := &host{}
	const rounds, each = 200, 8
	for range rounds {
		h.pool = pool{}
		h.pool.put(newConn(&countedConn{closed: &closed}, h, time.Now, 0), time.Now())
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range each {
			c := newConn(&countedConn{closed: &closed}, h, time.Now, 0)
			wg.Go(func() {
				<-start
				h.pool.put(c, time.Now())
			})
		}
		close(start)
		h.pool.close()
		wg.Wait()
	}
	if n := closed.Load(); n != rounds*(each+1) {
		t.Errorf("%d connections were closed, want %d", n, rounds*(each+1))
	}
}
