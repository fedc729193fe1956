package clock

import (
	"testing"
	"time"
)

func TestBoot_AgreesWithTheWall(t *testing.T) {
	now := Boot()
	for range 1000 {
		if off := time.Until(now()).Abs(); off > time.Second {
			t.Fatalf("off by %s", off)
		}
	}
}

// One odd Date moves nothing that was measured; the third of a kind in a row does.
func TestClock_Witnesses(t *testing.T) {
	local := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := New(func() time.Time { return local })
	if skew, measured := c.Offset(); skew != 0 || measured {
		t.Errorf("a new clock has a skew of %s, measured %t", skew, measured)
	}
	c.Assume(time.Hour)
	if now := c.Now(); !now.Equal(local.Add(time.Hour)) {
		t.Errorf("with an hour assumed it is %s", now)
	}
	f := func(date time.Time, moved bool, skew time.Duration) {
		t.Helper()
		by := c.Observe(date, local, local)
		if got, measured := c.Offset(); (by != 0) != moved || (got-skew).Abs() > skewTolerance || !measured {
			t.Errorf("moved by %s to a skew of %s, measured %t; want %s", by, got, measured, skew)
		}
	}
	f(local, true, 0) // nothing was measured before
	f(local.Add(time.Second), false, 0)
	day := local.Add(24 * time.Hour)
	f(day, false, 0)
	f(day, false, 0)
	f(local, false, 0) // they must agree in a row
	f(day, false, 0)
	f(day, false, 0)
	f(day, true, 24*time.Hour)
	c.Assume(0) // by an earlier run: what was measured counts
	f(day, false, 24*time.Hour)
}
