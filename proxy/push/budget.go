package push

import (
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

const (
	// unreservedBytes is what each connection may hold without a reservation: head and
	// body of a ticket's push.
	unreservedBytes = 4 << 10
	// slotBytes is the memory of a slot. A longer body takes blocks of that size.
	slotBytes = 16 << 10
	// reserveTimeout is how long a request waits for memory, counted from its first wait,
	// and maxWaiting how many requests wait.
	reserveTimeout = time.Second
	maxWaiting     = 1024
)

// budget bounds the memory of the requests that are read at once. Signed requests have a
// share of their own, so that a flood of others never keeps WeChat out. An attacker can
// neither make a signature nor use an old one beyond the window.
//
// handled is for the messages whose reply is awaited. A target that hangs must not keep other
// pushes from being read.
type budget struct{ unsigned, signed, handled share }

// share is the memory for one kind of request: three semaphores, for the slots and blocks
// in use and for the requests that wait for them. What a waiting request has sent stays in
// the kernel's buffers.
type share struct{ slots, blocks, waiting chan struct{} }

// newBudget returns a budget of 1,024 slots in all, and of 16 MiB in blocks, for what is read,
// and half of that for messages whose reply is awaited.
func newBudget() *budget {
	return &budget{unsigned: newShare(896, 12<<20), signed: newShare(128, 4<<20), handled: newShare(512, 8<<20)}
}

func newShare(slots, blockBytes int) share {
	return share{make(chan struct{}, slots), make(chan struct{}, blockBytes/slotBytes), make(chan struct{}, maxWaiting)}
}

// used returns how full the fuller of slots and blocks is, from 0 to 1.
func (s share) used() float64 {
	return max(float64(len(s.slots))/float64(cap(s.slots)), float64(len(s.blocks))/float64(cap(s.blocks)))
}

// show has the metrics show how full the shares are.
func (b *budget) show(m *metrics.Metrics) {
	m.Limit("push_unsigned", b.unsigned.used)
	m.Limit("push_signed", b.signed.used)
	m.Limit("messages", b.handled.used)
}

// reservation is the memory that one request has reserved.
type reservation struct {
	share   share
	slot    chan struct{} // nil for none
	blocks  int           // of the share
	timeout *time.Timer   // nil before the first wait
}

// reserve raises the reservation to size bytes in all. If the share is used up it waits,
// up to reserveTimeout. It reports whether the memory is reserved.
func (r *reservation) reserve(size int) bool {
	if size <= unreservedBytes {
		return true
	}
	if r.slot == nil {
		if !r.acquire(r.share.slots) {
			return false
		}
		r.slot = r.share.slots
	}
	for size > slotBytes*(1+r.blocks) {
		if !r.acquire(r.share.blocks) {
			return false
		}
		r.blocks++
	}
	return true
}

func (r *reservation) acquire(from chan<- struct{}) bool {
	select {
	case from <- struct{}{}:
		return true
	default:
	}
	select {
	case r.share.waiting <- struct{}{}:
		defer func() { <-r.share.waiting }()
	default:
		return false
	}
	if r.timeout == nil {
		r.timeout = time.NewTimer(reserveTimeout)
	}
	select {
	case from <- struct{}{}:
		return true
	case <-r.timeout.C:
		return false
	}
}

// release gives back all that is reserved.
func (r *reservation) release() {
	if r.slot != nil {
		<-r.slot
	}
	for range r.blocks {
		<-r.share.blocks
	}
	if r.timeout != nil {
		r.timeout.Stop()
	}
	r.slot, r.blocks = nil, 0
}
