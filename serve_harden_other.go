//go:build !linux

package main

// harden does nothing here: the sidecar is run on Linux, other systems are for
// developing.
func harden() error { return nil }
