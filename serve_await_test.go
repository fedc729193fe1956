package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
)

// The signal that comes while the store or a listener is opened ends the start, and SIGHUP
// does not.
func TestStartWatch(t *testing.T) {
	f := func(sent []os.Signal, want os.Signal) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 4)
			w := watchStart(t.Context(), signals)
			for _, sig := range sent {
				signals <- sig
			}
			synctest.Wait()
			if ended := w.ctx.Err() != nil; ended != (want != nil) {
				t.Errorf("%v: the start ends: %v", sent, ended)
			}
			if got := w.stop(); got != want {
				t.Errorf("%v: got %v, want %v", sent, got, want)
			}
			signals <- syscall.SIGTERM
			synctest.Wait()
			if len(signals) != 1 {
				t.Error("a signal is taken after the start")
			}
		})
	}
	f(nil, nil)
	f([]os.Signal{syscall.SIGHUP, syscall.SIGHUP}, nil)
	f([]os.Signal{syscall.SIGHUP, syscall.SIGTERM}, syscall.SIGTERM)
	f([]os.Signal{syscall.SIGINT}, syscall.SIGINT)
}

// The watch ends with the context that it was given.
func TestStartWatch_Ends(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := watchStart(ctx, nil)
	cancel()
	<-w.done
	if w.stop() != nil {
		t.Error("a signal that did not come")
	}
}
