// Package memstore is a [store.Store] in memory: for "store: memory:", where
// nothing needs to survive a restart, and for tests, which can make it fail and
// wait. For tests several sidecars can share one, each through a view of its own.
//
// It is bounded by nothing and forgets everything when the process ends.
//
//	store.go     Options, New
//	access.go    operations on records, with the levers
//	records.go   the records
//	shared.go    one sidecar's view: what others changed, and being cut off
//	lease.go     leases and their fences
//	memory.go    values that are kept for a while
//	presence.go  who uses the store
//
// The package makes no API promise outside this module.
package memstore

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Options are the levers of a [Store], for tests; the zero value has none. The
// functions are called without a lock held, by several goroutines at once, and
// must not change what they are given.
type Options struct {
	// Wait is called at the beginning of each operation, with its context. It may
	// block, as a slow disk or network does; its error becomes the operation's.
	Wait func(ctx context.Context) error
	// FailPut is called before a Put changes anything. With an error nothing is
	// written and Put returns it.
	FailPut func(writes []store.Write) error
	// LosePut is called after a Put was done. Its error is returned by Put although
	// the writes are in: the answer was lost on its way.
	LosePut func(writes []store.Write) error
	// Now is the clock by which leases and values end; nil means time.Now. Views have that of
	// their store.
	Now func() time.Time
}

// Store is a [store.Store] in memory. Use [New]. It is safe for concurrent use.
type Store struct{ access }

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Store{access{Options: opts, data: newData(opts.Now)}}
}

// Empty forgets everything, as an operator does who flushes a store. Each view is told.
func (s *Store) Empty() { s.data.empty() }
