package broker

import "sync/atomic"

// keyCalls is what apps' calls showed of a key. It stands in the key's entry and not in
// its tokens, which are kept small: there is one for each key, and each call reads it.
type keyCalls struct {
	served served
	faulty faultyCalls
}

// settled reports whether there is nothing to note of a call that WeChat takes with a token of that
// generation.
func (c *keyCalls) settled(generation uint64) bool {
	return c.served.last.Load() >= generation<<1|1 && c.faulty.calls.Load() == nil
}

// served tells which generation of a key WeChat took last in a call, and whether that
// was since the generation was last refused. The zero value is none. It is safe for
// concurrent use.
type served struct{ last atomic.Uint64 } // twice the generation, and one if since

// note notes that WeChat took a token of that generation. What a later one has shown
// stays.
func (s *served) note(generation uint64) {
	now := generation<<1 | 1
	for {
		// A store on each call would cost more than the rest.
		before := s.last.Load()
		if before >= now || s.last.CompareAndSwap(before, now) {
			return
		}
	}
}

// refused notes that WeChat refused a token of that generation, and reports whether it
// had taken it since it refused it last.
func (s *served) refused(generation uint64) bool {
	return s.last.CompareAndSwap(generation<<1|1, generation<<1)
}

// ever reports whether WeChat has taken a token of that generation.
func (s *served) ever(generation uint64) bool { return s.last.Load()>>1 == generation }
