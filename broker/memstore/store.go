// Package memstore is a [store.Store] in memory: for "store: memory:", where
// nothing needs to survive a restart, and for tests, which can make it fail and
// wait.
//
// It is bounded by nothing and forgets everything when the process ends.
//
// The package makes no API promise outside this module.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

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
}

// Store is a [store.Store] in memory. Use [New]. It is safe for concurrent use.
type Store struct {
	opts Options

	mu      sync.RWMutex
	records map[string]store.Record
	names   []string // the names in order; nil after one came or went
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(opts Options) *Store {
	return &Store{opts: opts, records: make(map[string]store.Record)}
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, name string) (store.Record, error) {
	if err := s.begin(ctx); err != nil {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rec, ok := s.records[name]
	if !ok {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, store.ErrNotFound)
	}
	return own(rec), nil
}

// GetAll implements [store.Store].
func (s *Store) GetAll(ctx context.Context, names []string) ([]store.Named, error) {
	if err := s.begin(ctx); err != nil {
		return nil, fmt.Errorf("get %d records: %w", len(names), err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []store.Named
	for _, name := range names {
		if rec, ok := s.records[name]; ok {
			out = append(out, store.Named{Name: name, Record: own(rec)})
		}
	}
	return out, nil
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, writes ...store.Write) error {
	if err := store.CheckWrites(writes); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if s.opts.FailPut != nil {
		if err := s.opts.FailPut(writes); err != nil {
			return fmt.Errorf("put records: %w", err)
		}
	}
	if err := s.apply(writes); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if s.opts.LosePut != nil {
		if err := s.opts.LosePut(writes); err != nil {
			return fmt.Errorf("put records: %w", err)
		}
	}
	return nil
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]store.Named, error) {
	if err := s.begin(ctx); err != nil {
		return nil, fmt.Errorf("list records %q: %w", prefix, err)
	}
	s.mu.Lock() // not RLock: the order may have to be made
	defer s.mu.Unlock()
	names := s.ordered()
	var out []store.Named
	for i := sort.SearchStrings(names, max(prefix, after)); i < len(names) && len(out) < limit; i++ {
		if !strings.HasPrefix(names[i], prefix) {
			break
		}
		if names[i] > after || after == "" {
			out = append(out, store.Named{Name: names[i], Record: own(s.records[names[i]])})
		}
	}
	return out, nil
}

// begin also asks ctx after the wait, for a Wait that does not look at it.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.opts.Wait == nil {
		return nil
	}
	if err := s.opts.Wait(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

func (s *Store) apply(writes []store.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		if s.records[w.Name].Version() != w.Base {
			return fmt.Errorf("%q: %w", w.Name, store.ErrConflict)
		}
	}
	for _, w := range writes {
		_, known := s.records[w.Name]
		if w.Record.Sealed == nil {
			delete(s.records, w.Name)
		} else {
			s.records[w.Name] = own(w.Record)
		}
		if known != (w.Record.Sealed != nil) {
			s.names = nil
		}
	}
	return nil
}

// ordered sorts only after names came or went: a walk over a million records by
// pages must not sort for each page, nor each write move a million names.
func (s *Store) ordered() []string {
	if s.names == nil {
		s.names = make([]string, 0, len(s.records))
		for name := range s.records {
			s.names = append(s.names, name)
		}
		slices.Sort(s.names)
	}
	return s.names
}

// own returns rec with bytes of its own, and never nil ones: an empty content is
// not the absence of a record.
func own(rec store.Record) store.Record {
	if rec.Sealed = bytes.Clone(rec.Sealed); rec.Sealed == nil {
		rec.Sealed = []byte{}
	}
	return rec
}
