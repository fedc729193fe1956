//go:build !linux

package boltstore

// ReleaseMemory does nothing: elsewhere such advice means other things.
func (s *Store) ReleaseMemory() {}
