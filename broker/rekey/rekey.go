// Package rekey seals the records of a store anew under the current key, after the
// seal key was changed. It works on every [store.Store], also while sidecars use
// it, and can be stopped and begun again at any time: a record is changed by
// compare-and-set and one that is sealed under the current key is passed over. A write
// of somebody else between our reading and writing wins, also one that leaves the
// generation as it is: then the record is read again.
//
// The package makes no API promise outside this module.
package rekey

import (
	"context"
	"errors"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// batch is how many records are read and written at once.
const batch = 100

// attempts is how often a record is tried that others write at the same time.
// Whoever wrote it in between sealed it under his current key, so that a second
// look nearly always finds nothing to do.
const attempts = 10

// Result says what Run did.
type Result struct {
	// Resealed records were under the previous key and are under the current now.
	Resealed int
	// Current records were under the current key already.
	Current int
	// Failed names the records that could not be opened. They are as they were, and
	// will not open once the previous key is gone.
	Failed []string
}

// Run seals every record of the store that is under ring's previous key anew under
// its current one, with the generation that it has. It goes on past records that do
// not open, and then returns an error that wraps the first one's; the store's error
// or the end of ctx stops it. The result tells what was done in either case. When
// Run returns nil, no record that was in the store at its beginning needs the
// previous key.
func Run(ctx context.Context, records store.Store, ring *seal.Keyring) (Result, error) {
	w := worker{store: records, ring: ring}
	for after := ""; ; {
		page, err := records.List(ctx, "", after, batch)
		if err != nil {
			return w.result, fmt.Errorf("rekey: %w", err)
		}
		if err := w.page(ctx, page); err != nil {
			return w.result, fmt.Errorf("rekey: %w", err)
		}
		if len(page) < batch {
			break
		}
		after = page[len(page)-1].Name
	}
	if w.firstErr != nil {
		return w.result, fmt.Errorf("rekey: %d records could not be opened, the first: %w", len(w.result.Failed), w.firstErr)
	}
	return w.result, nil
}

type worker struct {
	store    store.Store
	ring     *seal.Keyring
	result   Result
	firstErr error
}

// page re-seals a page in one write, and one by one if somebody else wrote one of
// them meanwhile.
func (w *worker) page(ctx context.Context, page []store.Named) error {
	var writes []store.Write
	for _, n := range page {
		if write, needed := w.reseal(n); needed {
			writes = append(writes, write)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	err := w.store.Put(ctx, writes...)
	if err == nil {
		w.result.Resealed += len(writes)
		return nil
	}
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	for _, write := range writes {
		if err := w.single(ctx, write.Name); err != nil {
			return err
		}
	}
	return nil
}

// single reads a record again and re-seals it.
func (w *worker) single(ctx context.Context, name string) error {
	for range attempts {
		rec, err := w.store.Get(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		write, needed := w.reseal(store.Named{Name: name, Record: rec})
		if !needed {
			return nil
		}
		err = w.store.Put(ctx, write)
		if err == nil {
			w.result.Resealed++
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("record %q: others keep writing it: %w", name, store.ErrConflict)
}

// reseal returns the write that a record needs, and counts it if it needs none. The
// generation stays, as the content does.
func (w *worker) reseal(n store.Named) (store.Write, bool) {
	plain, err := w.ring.Open(n.Name, n.Generation, n.Sealed)
	if err != nil {
		w.result.Failed = append(w.result.Failed, n.Name)
		if w.firstErr == nil {
			w.firstErr = err
		}
		return store.Write{}, false
	}
	if !w.ring.NeedsReseal(n.Sealed) {
		w.result.Current++
		return store.Write{}, false
	}
	sealed := w.ring.Seal(n.Name, n.Generation, plain)
	return store.Write{Name: n.Name, Base: n.Version(), Record: store.Record{Generation: n.Generation, Fence: n.Fence, Sealed: sealed}}, true
}
