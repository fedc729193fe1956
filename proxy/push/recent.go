package push

import (
	"slices"
	"sync"
	"time"
)

// maxRecent is how many records of each kind are kept.
const maxRecent = 500

// Record is what became of one verified push. It has nothing of its content.
type Record struct {
	// Time is WeChat's when the push was answered.
	Time time.Time
	// Component is "" for a message to an own account. AppID is the account that the push is
	// about, and "" where it names none.
	Component, AppID string
	// Type is the InfoType of an authorization event, else the MsgType of a message, whose Event
	// is set if it is one.
	Type, Event string
	// ID is the same in all copies of the push, and in the log.
	ID string
	// Result is as in the metrics: that of [metrics.Metrics.Push] or [metrics.Metrics.Message].
	Result string
}

// RecentEvents returns the last 500 authorization events and tickets, the newest first. The
// caller owns them.
func (s *Server) RecentEvents() []Record { return s.recentEvents.list() }

// RecentMessages returns the last 500 messages, the newest first. The caller owns them.
func (s *Server) RecentMessages() []Record { return s.recentMessages.list() }

// recent keeps the last records. Events and messages have one each: the messages of a busy
// minute would push out the events of weeks. It is safe for concurrent use.
type recent struct {
	mu   sync.Mutex
	ring []Record
	next int // the oldest, once ring is full
}

func (r *recent) add(record Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, record)
		return
	}
	r.ring[r.next] = record
	r.next = (r.next + 1) % maxRecent
}

func (r *recent) list() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := slices.Concat(r.ring[r.next:], r.ring[:r.next])
	slices.Reverse(records)
	return records
}
