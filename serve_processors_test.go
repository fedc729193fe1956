package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestNextProcessors(t *testing.T) {
	f := func(now int, taken float64, want int) {
		t.Helper()
		if got := nextProcessors(now, taken); got != want {
			t.Errorf("on %d, taken %.2f: %d, want %d", now, taken, got, want)
		}
	}
	f(1, 0, 1)
	f(1, 0.96, 1) // others have the machine as well
	f(1, 0.98, 2)
	f(2, 0, 1)
	f(2, 0.9, 1)
	f(2, 0.91, 2)
	f(2, 1.93, 2)
	f(2, 2, 4)
	f(64, 0.1, 1)
	f(64, 20, 23)
	f(8, 5, 6)
	f(8, 7.5, 8)
}

func TestRunOn(t *testing.T) {
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(0)
	if n := runOn(1); n != 1 || runtime.GOMAXPROCS(0) != 1 {
		t.Errorf("runs on %d, says %d, want 1", runtime.GOMAXPROCS(0), n)
	}
	if n := runOn(2 * all); n != all || runtime.GOMAXPROCS(0) != all {
		t.Errorf("runs on %d, says %d, want all %d", runtime.GOMAXPROCS(0), n, all)
	}
}

// A process that does little is given one processor, and at the end has all again.
func TestKeepProcessorsFew(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(2)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keepProcessorsFew(ctx)
	}()
	awaitFor(t, 30*time.Second, "one processor", func() bool { return runtime.GOMAXPROCS(0) == 1 })
	stop()
	<-ended
	if n := runtime.GOMAXPROCS(0); n != all {
		t.Errorf("%d processors at the end, want %d", n, all)
	}
	t.Setenv("GOMAXPROCS", "3")
	keepProcessorsFew(t.Context()) // returns at once
}
