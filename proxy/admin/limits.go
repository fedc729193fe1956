package admin

import (
	"container/list"
	"net"
	"net/http"
	"strconv"
	"sync"
)

const (
	// maxConnections is how many there may be: two Prometheus servers, a kubelet and
	// some people have a dozen.
	maxConnections = 256
	// maxScrapes is how many scrapes run at once. Each reads all series, and a flood of
	// them must not slow down apps' calls.
	maxScrapes = 4
)

// connections closes the connection that has been idle longest whenever there is one too
// many. Refusing the new one instead would let whoever only holds connections keep out the
// kubelet, which then kills the process. It is safe for concurrent use.
type connections struct {
	mu   sync.Mutex
	idle list.List // of net.Conn, the one that has been idle longest first
	at   map[net.Conn]*list.Element
}

func newConnections() *connections { return &connections{at: map[net.Conn]*list.Element{}} }

// track is the ConnState of an [http.Server].
func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if oldest := c.add(conn); oldest != nil {
			_ = oldest.Close() // it has no request in flight, or a very slow one
		}
	case http.StateActive:
		c.touch(conn)
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	}
}

// add adds conn and returns the connection to close, or nil.
func (c *connections) add(conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[conn] = c.idle.PushBack(conn)
	if len(c.at) <= maxConnections {
		return nil
	}
	oldest := c.idle.Remove(c.idle.Front()).(net.Conn)
	delete(c.at, oldest)
	return oldest
}

func (c *connections) touch(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[conn]; e != nil {
		c.idle.MoveToBack(e)
	}
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[conn]; e != nil {
		c.idle.Remove(e)
		delete(c.at, conn)
	}
}

// limitScrapes answers 503 to scrapes beyond maxScrapes, and closes their connections,
// since more of them would follow.
func limitScrapes(scrape http.Handler) http.HandlerFunc {
	slots := make(chan struct{}, maxScrapes)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			scrape.ServeHTTP(w, r)
		default:
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			reply(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", "more than "+strconv.Itoa(maxScrapes)+" scrapes at once; try again\n")
		}
	}
}
