// Package store is what a store of the broker's records must do.
//
// Implementations are boltstore, memstore and redisstore beside it; storetest is what they pass.
//
// The package makes no API promise outside this module.
package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
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
	// Fence is that of the [Lease] under which the content was obtained; 0 without one. It
	// orders what several sidecars obtained at once. A store of one sidecar keeps none.
	Fence uint64
	// Sealed is the record's content, sealed by the broker; a store cannot read
	// it. Nil deletes the record.
	Sealed []byte
}

// Version tells the states of a record apart, those of one generation too. The zero value
// is that of no record.
type Version struct {
	Generation uint64
	// Revision is a digest of the content, which is sealed anew for each write and so
	// never the same twice.
	Revision uint64
}

// Version returns the version of r. It costs a pass over the content.
func (r Record) Version() Version {
	if r.Generation == 0 {
		return Version{}
	}
	digest := fnv.New64a()
	_, _ = digest.Write(r.Sealed) // documented never to fail
	return Version{r.Generation, digest.Sum64()}
}

// Write is one change of a record: it holds only if the record stored under Name
// has the version Base at that moment.
type Write struct {
	Name   string
	Base   Version
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
		if g := w.Record.Generation; w.Record.Sealed != nil && (g == 0 || g < w.Base.Generation) {
			return fmt.Errorf("%q: generation %d cannot follow %d", w.Name, g, w.Base.Generation)
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
	// GetAll returns the records stored under the names, in their order, without those
	// that have none. It is not one moment's state of all. The caller owns the bytes.
	GetAll(ctx context.Context, names []string) ([]Named, error)
	// Put makes all the writes durable or none of them, and returns only then. It
	// returns [ErrConflict] if the base of one is not what is stored, and another
	// error for what [CheckWrites] finds wrong. The store does not keep the slices.
	Put(ctx context.Context, writes ...Write) error
	// List returns at most limit records whose names begin with prefix and come
	// after the name after ("" for the beginning), in the order of names. Fewer
	// than limit means that there are no more. The caller owns the bytes.
	List(ctx context.Context, prefix, after string, limit int) ([]Named, error)
}
