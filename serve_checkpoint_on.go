//go:build checkpoint

package main

import (
	"os"
	"syscall"
)

// checkpoint returns what ends the process, as kill -9 does, at the point that
// CRASH_AT names, once the file that CRASH_WHEN names exists. It is for crash
// tests only.
func checkpoint() func(string) {
	at, when := os.Getenv("CRASH_AT"), os.Getenv("CRASH_WHEN")
	return func(name string) {
		if name != at {
			return
		}
		if _, err := os.Stat(when); err != nil {
			return
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
