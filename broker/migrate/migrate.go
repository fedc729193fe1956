// Package migrate copies all records of one store into another, of any kind, while no
// sidecar uses either. It can be stopped and begun again at any time: what the target has
// already is passed over.
//
// Records are copied as they are, sealed, with their generations and fences. Leases and what
// a [store.Memory] keeps are not copied: both are over before a sidecar runs on the target.
//
// The package makes no API promise outside this module.
package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// batch is how many records are read, and written, at once.
const batch = 100

// Options say what Run copies, and how. From, To and Keys must be set.
type Options struct {
	From, To store.Store
	// Keys open the seals of both stores. Nothing is sealed anew.
	Keys *seal.Keyring
	// Ignore names records that are neither copied nor looked at.
	Ignore []string
	// Replace overwrites what To has otherwise and deletes what only To has. Without it
	// either is an *[OccupiedError], and nothing is written.
	Replace bool
	// DryRun writes nothing. The result then tells what would be done.
	DryRun bool
}

// Result says what Run did.
type Result struct {
	// Copied records were not in the target, Replaced ones were there otherwise.
	Copied, Replaced int
	// Same records were in the target already, as they are.
	Same int
	// Removed records were in the target alone.
	Removed int
	// Damaged names the records of the source whose seal is damaged. They were not copied.
	Damaged []string
}

// Records is how many records the target has when Run has ended well.
func (r Result) Records() int { return r.Copied + r.Replaced + r.Same }

// OccupiedError says that the target has records that are not the source's.
type OccupiedError struct {
	// Alone are in the target alone, Differ in both, and differ. Later of these have a later
	// generation in the target than in the source.
	Alone, Differ, Later int
	// Example is the name of one.
	Example string
}

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("the target has records of its own: %d that the source has not, and %d that the source has otherwise, %d of them later ones (one is %q)",
		e.Alone, e.Differ, e.Later, e.Example)
}

// ErrEmpty says that the source has no record that could be copied.
var ErrEmpty = errors.New("the source has no records")

// ErrChanged is wrapped by the error of Run when a store was written meanwhile by somebody
// else.
var ErrChanged = errors.New("the source or the target was changed meanwhile")

// Run copies the records. It first opens the seal of every record of the source: one that is
// damaged is left behind and named in the result, and any other that does not open is an
// error, before anything is written. In the end it reads both stores again: each record of
// the source must be in the target, must open there, and there must be no other; if not, the
// error wraps [ErrChanged].
func Run(ctx context.Context, opts Options) (Result, error) {
	m := &migration{Options: opts}
	found, err := m.survey(ctx)
	if err != nil {
		return m.result, err
	}
	if m.result.Records() == 0 {
		return m.result, ErrEmpty
	}
	if found.Alone+found.Differ > 0 && !opts.Replace {
		return m.result, &found
	}
	if opts.DryRun {
		return m.result, nil
	}
	if err := m.copy(ctx); err != nil {
		return m.result, err
	}
	return m.result, m.verify(ctx)
}

type migration struct {
	Options
	result Result
}

// survey opens the source's seals and counts what is to be done.
func (m *migration) survey(ctx context.Context) (OccupiedError, error) {
	var found OccupiedError
	err := m.walk(ctx, func(from, to *store.Named) error {
		if from != nil {
			damaged, err := m.isDamaged(from)
			if err != nil {
				return err
			}
			if damaged {
				m.result.Damaged = append(m.result.Damaged, from.Name)
				from = nil
			}
		}
		m.count(&found, from, to)
		return nil
	})
	return found, err
}

func (m *migration) count(found *OccupiedError, from, to *store.Named) {
	switch {
	case from == nil && to == nil:
		return
	case to == nil:
		m.result.Copied++
		return
	case from == nil:
		m.result.Removed++
		found.Alone++
	case equal(from, to):
		m.result.Same++
		return
	default:
		m.result.Replaced++
		found.Differ++
		if to.Generation > from.Generation {
			found.Later++
		}
	}
	found.Example = to.Name
}

// isDamaged reports whether a record's seal is damaged. An error says that it does not open
// for another reason.
func (m *migration) isDamaged(n *store.Named) (bool, error) {
	_, err := m.Keys.Open(n.Name, n.Generation, n.Sealed)
	if errors.Is(err, seal.ErrDamaged) {
		return true, nil
	}
	return false, err
}

// copy makes the target's records those of the source.
func (m *migration) copy(ctx context.Context) error {
	var gone, put []store.Write
	flush := func() error {
		// What goes back to an earlier generation is deleted first.
		if err := m.put(ctx, gone); err != nil {
			return err
		}
		if err := m.put(ctx, put); err != nil {
			return err
		}
		gone, put = gone[:0], put[:0]
		return nil
	}
	err := m.walk(ctx, func(from, to *store.Named) error {
		if from != nil && slices.Contains(m.result.Damaged, from.Name) {
			from = nil
		}
		var base store.Version
		if to != nil {
			base = to.Version()
		}
		switch {
		case from == nil && to == nil, from != nil && to != nil && equal(from, to):
			return nil
		case from == nil || from.Generation < base.Generation:
			gone, base = append(gone, store.Write{Name: to.Name, Base: base}), store.Version{}
		}
		if from != nil {
			put = append(put, store.Write{Name: from.Name, Base: base, Record: from.Record})
		}
		if len(gone) < batch && len(put) < batch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func (m *migration) put(ctx context.Context, writes []store.Write) error {
	if len(writes) == 0 {
		return nil
	}
	err := m.To.Put(ctx, writes...)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

// verify compares the two stores and opens what the target has.
func (m *migration) verify(ctx context.Context) error {
	count := 0
	err := m.walk(ctx, func(from, to *store.Named) error {
		switch {
		case from != nil && slices.Contains(m.result.Damaged, from.Name):
			return nil
		case from == nil:
			return fmt.Errorf("%w: the target has %q and the source has not", ErrChanged, to.Name)
		case to == nil:
			return fmt.Errorf("%w: the source has %q and the target has not", ErrChanged, from.Name)
		case !equal(from, to):
			return fmt.Errorf("%w: %q differs", ErrChanged, from.Name)
		}
		count++
		if _, err := m.Keys.Open(to.Name, to.Generation, to.Sealed); err != nil {
			return fmt.Errorf("the copy: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if want := m.result.Records(); count != want {
		return fmt.Errorf("%w: %d records were to be copied, and there are %d", ErrChanged, want, count)
	}
	return nil
}

func equal(a, b *store.Named) bool {
	return a.Generation == b.Generation && bytes.Equal(a.Sealed, b.Sealed)
}
