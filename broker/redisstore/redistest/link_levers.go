package redistest

import "time"

// Delay has everything take d longer in each direction; 0 ends that.
func (l *Link) Delay(d time.Duration) { l.set(func() { l.delay = d }) }

// LoseRequests has the next n requests never arrive, and ends their connections. Requests that a
// client sends together count as one.
func (l *Link) LoseRequests(n int) { l.set(func() { l.loseRequests = n }) }

// LoseAnswers has the next n requests arrive and their answers get lost, with their connections.
func (l *Link) LoseAnswers(n int) { l.set(func() { l.loseAnswers = n }) }

// HoldRequests has nothing arrive at the server while on; connections stay. What was held arrives
// afterwards.
func (l *Link) HoldRequests(on bool) { l.set(func() { l.holdRequests = on }) }

// HoldAnswers has the server do what is asked while no answer arrives.
func (l *Link) HoldAnswers(on bool) { l.set(func() { l.holdAnswers = on }) }

// Hang is both.
func (l *Link) Hang(on bool) { l.set(func() { l.holdRequests, l.holdAnswers = on, on }) }

// Refuse ends all connections and takes none while on.
func (l *Link) Refuse(on bool) {
	l.set(func() {
		if l.refuse = on; on {
			l.cutLocked()
		}
	})
}

// Cut ends all connections that there are.
func (l *Link) Cut() { l.set(l.cutLocked) }

// Heal ends all of the above; what was held passes.
func (l *Link) Heal() {
	l.set(func() {
		l.delay, l.holdRequests, l.holdAnswers, l.refuse, l.loseRequests, l.loseAnswers = 0, false, false, false, 0, 0
		for c := range l.conns {
			c.loseAnswer = false
		}
	})
}

// Lost returns how many requests and answers were lost by LoseRequests and LoseAnswers.
func (l *Link) Lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

func (l *Link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Link) cutLocked() {
	for c := range l.conns {
		c.cut()
	}
}
