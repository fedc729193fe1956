package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// It goes as time does, and what is made of it is a deadline for the standard library.
func TestMonotonic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := Monotonic()
		began := now()
		time.Sleep(time.Minute)
		if took := now().Sub(began); took != time.Minute {
			t.Errorf("%s of a minute", took)
		}
		if left := time.Until(now().Add(time.Second)); left != time.Second {
			t.Errorf("%s are left of a second", left)
		}
	})
}

func BenchmarkMonotonic(b *testing.B) {
	now := Monotonic()
	for b.Loop() {
		now()
	}
}
