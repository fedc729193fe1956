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
	// maxScrapes is how many are made at once. Each walks over all series, and apps'
	// calls must not wait for those of a flood.
	maxScrapes = 4
)

// connections closes the one that has been quiet longest whenever there is one too
// many. To refuse the newcomer instead would have those who only hold connections keep
// the kubelet out, which then ends the process.
type connections struct {
	mu    sync.Mutex
	quiet list.List // of net.Conn, the one that has been quiet longest first
	at    map[net.Conn]*list.Element
}

func newConnections() *connections { return &connections{at: map[net.Conn]*list.Element{}} }

// track is the ConnState of an [http.Server].
func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if oldest := c.add(conn); oldest != nil {
			_ = oldest.Close() // who held it need not know more
		}
	case http.StateActive:
		c.touch(conn)
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	}
}

// add returns the connection that must go, or nil.
func (c *connections) add(conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[conn] = c.quiet.PushBack(conn)
	if len(c.at) <= maxConnections {
		return nil
	}
	oldest := c.quiet.Remove(c.quiet.Front()).(net.Conn)
	delete(c.at, oldest)
	return oldest
}

func (c *connections) touch(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[conn]; e != nil {
		c.quiet.MoveToBack(e)
	}
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[conn]; e != nil {
		c.quiet.Remove(e)
		delete(c.at, conn)
	}
}

// limitScrapes answers 503 to those beyond maxScrapes, and ends their connection: what
// was sent behind is of the same kind.
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
