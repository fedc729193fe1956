package broker

import "time"

// instant is a time in unix nanoseconds, which takes a third of a time.Time: an entry has
// many of them, and there is one for each key in use. The zero instant is none, as the zero
// time is.
type instant int64

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.UnixNano())
}

// add returns i moved by d; none stays none.
func (i instant) add(d time.Duration) instant {
	if i == 0 {
		return 0
	}
	return i + instant(d)
}

func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(i))
}
