//go:build race

package proxy

// raceEnabled is set where the race detector makes sync.Pool lose things at
// random, so that allocations mean nothing.
const raceEnabled = true
