package outbox

import (
	"container/heap"
	"slices"
	"time"
)

// perTarget is how many deliveries to one target are under way at once.
const perTarget = 8

// queue is what one target is owed. Outbox.mu guards it and its lanes.
type queue struct {
	lanes   map[string]*lane // by merchant; none is empty, unless an attempt is under way
	due     laneHeap         // those without an attempt under way
	running int

	warnings int       // logged since an attempt last succeeded
	cause    string    // of the latest warning
	warned   time.Time // when that was logged
}

// lane is what one target is owed of one merchant's events, in order. Only its first is
// attempted.
type lane struct {
	target, merchant string
	items            []*item
	due              time.Time
	failures         int // of the first item, since its last success
	holds            int // how often the first item was held
	index            int // in the heap; -1 while an attempt is under way
}

// pauseAfter returns the time after the n-th failure in a row.
func pauseAfter(n int) time.Duration {
	const longest = 10 * time.Minute
	if n > 10 {
		return longest
	}
	return min(time.Second<<(n-1), longest)
}

// holdPause returns the time after which an event that was held n times is looked at again.
// An exchange takes some hundred milliseconds, unless WeChat is away.
func holdPause(n int) time.Duration {
	const longest = 10 * time.Second
	if n > 7 {
		return longest
	}
	return min(50*time.Millisecond<<n, longest)
}

// enqueueLocked puts an item into the lanes of those that it is owed to, behind what was added
// before it.
func (o *Outbox) enqueueLocked(it *item) {
	for _, target := range o.owedLocked(it) {
		q := o.queues[target]
		if q == nil {
			q = &queue{lanes: map[string]*lane{}}
			o.queues[target] = q
		}
		l := q.lanes[it.merchant()]
		if l == nil {
			l = &lane{target: target, merchant: it.merchant(), due: o.Now(), index: -1}
			q.lanes[l.merchant] = l
			heap.Push(&q.due, l)
		}
		i := len(l.items)
		for i > 0 && l.items[i-1].added.After(it.added) {
			i-- // another sidecar's may come late
		}
		l.items = slices.Insert(l.items, i, it)
	}
}

// requeueLocked makes all lanes anew. Attempts under way keep their lane, and each
// lane its pause.
func (o *Outbox) requeueLocked() {
	for _, q := range o.queues {
		for _, l := range q.lanes {
			l.items = nil
		}
	}
	for _, it := range o.sortedLocked() {
		o.enqueueLocked(it)
	}
	for target, q := range o.queues {
		for _, l := range q.lanes {
			q.dropIfEmpty(l)
		}
		o.dropQueueLocked(target)
	}
}

// removeLocked takes an item out of the lane of one target.
func (o *Outbox) removeLocked(it *item, target string) {
	q := o.queues[target]
	if q == nil || q.lanes[it.merchant()] == nil {
		return
	}
	l := q.lanes[it.merchant()]
	if i := slices.Index(l.items, it); i >= 0 {
		l.items = slices.Delete(l.items, i, i+1)
		if i == 0 {
			l.failures, l.holds = 0, 0
		}
	}
	q.dropIfEmpty(l)
	o.dropQueueLocked(target)
}

func (q *queue) dropIfEmpty(l *lane) {
	if len(l.items) > 0 || l.index < 0 {
		return
	}
	heap.Remove(&q.due, l.index)
	delete(q.lanes, l.merchant)
}

func (o *Outbox) dropQueueLocked(target string) {
	if q := o.queues[target]; q != nil && len(q.lanes) == 0 {
		delete(o.queues, target)
	}
}

// laneHeap has the lane that is due first on top.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.index = -1
	return l
}
