package push

import "time"

const (
	// ownRoom is what a connection may hold of a request whatever it is: the whole
	// of a ticket's push, head and body. For more it needs a place.
	ownRoom = 4 << 10
	// placeRoom is what a place has room for; a longer body takes more pieces of
	// that size out of the budget.
	placeRoom = 16 << 10
	// patience is within what time of its first wait a request must have all of its
	// room, and maxWaiting how many wait.
	patience   = time.Second
	maxWaiting = 1024
)

// room bounds the memory of the requests that are read at once. Those that are
// signed have room of their own, so that strangers, however many, never keep WeChat
// out: they can neither make a signature nor use one for longer than the window.
type room struct{ strangers, signed lane }

// lane is room for one kind of requests. Its channels hold what is in use, and who
// waits for it: what these have sent lies in the kernel's memory.
type lane struct{ places, pieces, waiting chan struct{} }

// In all 1,024 places, and 16 MiB for what is longer than them.
func newRoom() *room {
	return &room{strangers: newLane(896, 12<<20), signed: newLane(128, 4<<20)}
}

func newLane(places, long int) lane {
	return lane{make(chan struct{}, places), make(chan struct{}, long/placeRoom), make(chan struct{}, maxWaiting)}
}

// holding is the room that one request holds.
type holding struct {
	lane   lane
	place  chan struct{} // nil for none
	pieces int           // of lane
	ends   *time.Timer   // nil before the first wait
}

// reserve takes as much room as a buffer of size bytes needs in all. It waits
// briefly where there is none, and reports whether there is.
func (h *holding) reserve(size int) bool {
	if size <= ownRoom {
		return true
	}
	if h.place == nil {
		if !h.take(h.lane.places) {
			return false
		}
		h.place = h.lane.places
	}
	for size > placeRoom*(1+h.pieces) {
		if !h.take(h.lane.pieces) {
			return false
		}
		h.pieces++
	}
	return true
}

func (h *holding) take(from chan<- struct{}) bool {
	select {
	case from <- struct{}{}:
		return true
	default:
	}
	select {
	case h.lane.waiting <- struct{}{}:
		defer func() { <-h.lane.waiting }()
	default:
		return false
	}
	if h.ends == nil {
		h.ends = time.NewTimer(patience)
	}
	select {
	case from <- struct{}{}:
		return true
	case <-h.ends.C:
		return false
	}
}

// release gives all back.
func (h *holding) release() {
	if h.place != nil {
		<-h.place
	}
	for range h.pieces {
		<-h.lane.pieces
	}
	if h.ends != nil {
		h.ends.Stop()
	}
	h.place, h.pieces = nil, 0
}
