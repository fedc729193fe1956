package redisstore

import (
	"strings"
	"sync"
)

// ownEntries are the stream's entries that this sidecar made and has not read yet. One that a read
// does not bring was lost, with the write that made it: a replica that had not got it has become
// the primary. No error tells that, as the write was acknowledged.
//
// The zero value is for a store that nobody watches: it keeps none.
type ownEntries struct {
	mu      sync.Mutex
	read    string // the last that was read, of anybody; "" where nobody reads
	pending map[string]bool
}

// made keeps an entry, unless it is "" or a read was faster than its answer.
func (o *ownEntries) made(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if id != "" && o.read != "" && later(id, o.read) {
		o.pending[id] = true
	}
}

// begin has reading begin after an entry. What came before is compared with all the rest.
func (o *ownEntries) begin(from string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending == nil {
		o.pending = map[string]bool{}
	}
	o.read = from
	for id := range o.pending {
		if !later(id, from) {
			delete(o.pending, id)
		}
	}
}

// seen is for each entry that is read.
func (o *ownEntries) seen(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read = id
	delete(o.pending, id)
}

// all returns what is to be read yet.
func (o *ownEntries) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for id := range o.pending {
		ids = append(ids, id)
	}
	return ids
}

// lost reports whether a read did not bring one of the entries that all returned before it, and
// forgets those.
func (o *ownEntries) lost(expected []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	lost := false
	for _, id := range expected {
		lost = lost || o.pending[id]
		delete(o.pending, id)
	}
	return lost
}

// later compares two entries of a stream by their place: milliseconds, a dash, a number.
func later(a, b string) bool {
	msA, nA, _ := strings.Cut(a, "-")
	msB, nB, _ := strings.Cut(b, "-")
	if msA != msB {
		return greater(msA, msB)
	}
	return greater(nA, nB)
}

// greater compares decimal numbers.
func greater(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}
