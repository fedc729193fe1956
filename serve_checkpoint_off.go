//go:build !checkpoint

package main

// checkpoint returns nothing to call: only a binary built for crash tests, with
// the tag checkpoint, ends itself at a named point.
func checkpoint() func(string) { return nil }
