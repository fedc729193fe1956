package main

import (
	"testing"
	"time"
)

// await is awaitFor with the patience of scripts.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	awaitFor(t, patience, what, done)
}

// awaitFor calls done until it is true, and fails the test if it is not within the time.
func awaitFor(t *testing.T, within time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("%s: never", what)
		}
	}
}
