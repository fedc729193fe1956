// Package store is what a store of the broker's records must do.
//
// Implementations are boltstore and memstore beside it; storetest is what they pass.
//
// The package makes no API promise outside this module.
package store

import (
	"context"
	"errors"
	"fmt"
)

// ErrNotFound is what [Store.Get] returns for a name that has no record.
var ErrNotFound = errors.New("no such record")

// ErrConflict is what [Store.Put] returns when another writer was faster. The
// caller reads the record again and decides anew.
var ErrConflict = errors.New("the record was changed meanwhile")

// Record is what a [Store] keeps under one name.
type Record struct {
	// Generation is 0 for no record, and never goes back: a write keeps it or makes
	// it greater, by more than one where renewals came while the store was away.
	Generation uint64
	// Sealed is the record's content, sealed by the broker; a store cannot read
	// it. Nil deletes the record.
	Sealed []byte
}

// Write is one change of a record: it holds only if the record stored under Name
// has the generation Base at that moment (0: there is none).
type Write struct {
	Name   string
	Base   uint64
	Record Record
}

// CheckWrites returns what no correct caller of [Store.Put] asks for: a write without
// a name, two of one name, a generation that is 0 or goes back. Stores call it before
// they change anything.
func CheckWrites(writes []Write) error {
	seen := make(map[string]bool, len(writes))
	for _, w := range writes {
		if w.Name == "" {
			return errors.New("a record without a name")
		}
		if seen[w.Name] {
			return fmt.Errorf("%q is written twice at once", w.Name)
		}
		seen[w.Name] = true
		if g := w.Record.Generation; w.Record.Sealed != nil && (g == 0 || g < w.Base) {
			return fmt.Errorf("%q: generation %d cannot follow %d", w.Name, g, w.Base)
		}
	}
	return nil
}

// Named is a record with its name.
type Named struct {
	Name string
	Record
}

// Store keeps the broker's records durably. It is the truth; the cache is only
// in front of it. Implementations are safe for concurrent use and pass the suite
// in storetest.
type Store interface {
	// Get returns the record stored under name, or [ErrNotFound]. The caller owns
	// the bytes.
	Get(ctx context.Context, name string) (Record, error)
	// Put makes all the writes durable or none of them, and returns only then. It
	// returns [ErrConflict] if the base of one is not what is stored, and another
	// error for what [CheckWrites] finds wrong. The store does not keep the slices.
	Put(ctx context.Context, writes ...Write) error
	// List returns at most limit records whose names begin with prefix and come
	// after the name after ("" for the beginning), in the order of names. Fewer
	// than limit means that there are no more. The caller owns the bytes.
	List(ctx context.Context, prefix, after string, limit int) ([]Named, error)
}

// Locker keeps two sidecars that share a store from renewing one key at once.
// Correctness does not rest on it, but on the compare-and-set of [Store.Put].
type Locker interface {
	// Lock waits until the caller alone may renew the key of that name, or until
	// ctx ends. It returns a context that ends when the lock is lost, and what
	// gives the lock back. Whoever gets the lock rereads the store before it acts.
	Lock(ctx context.Context, name string) (context.Context, func(), error)
}
