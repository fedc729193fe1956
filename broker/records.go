package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// conflictTries is how often a change is made anew because another writer was
// faster. More than once or twice means that two go on undoing each other's work.
const conflictTries = 8

// outpaced is the error of a change for which these tries were not enough.
func outpaced(name string) error {
	return fmt.Errorf("save %s: %w, %d times in a row", name, store.ErrConflict, conflictTries)
}

// records reads and writes sealed records. What it returns belongs to the caller.
type records struct {
	store   store.Store
	seal    *seal.Keyring
	metrics *metrics.Metrics
	log     *slog.Logger
}

// read returns the content stored under name. A record that cannot be opened is
// as good as none, but for its generation, which whoever writes it anew must
// know; that it is damaged is logged.
func (r *records) read(ctx context.Context, name string) (plain []byte, generation uint64, err error) {
	rec, err := r.store.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		r.metrics.StoreOperation("get", "ok")
		return nil, 0, nil
	}
	if err != nil {
		r.metrics.StoreOperation("get", "error")
		return nil, 0, fmt.Errorf("read %s from the store: %w", name, err)
	}
	r.metrics.StoreOperation("get", "ok")
	return r.open(name, rec), rec.Generation, nil
}

// open returns nil for what cannot be opened.
func (r *records) open(name string, rec store.Record) []byte {
	plain, err := r.seal.Open(name, rec.Generation, rec.Sealed)
	if err != nil {
		r.log.Error("a record cannot be opened and is asked for from WeChat anew", "record", name, "error", err)
		return nil
	}
	return plain
}

// change is one write before it is sealed. A nil plain deletes.
type change struct {
	name       string
	base       uint64
	generation uint64
	plain      []byte
}

func (r *records) write(ctx context.Context, changes ...change) error {
	writes := make([]store.Write, len(changes))
	for i, c := range changes {
		writes[i] = store.Write{Name: c.name, Base: c.base, Record: store.Record{Generation: c.generation}}
		if c.plain != nil {
			writes[i].Record.Sealed = r.seal.Seal(c.name, c.generation, c.plain)
		}
	}
	err := r.store.Put(ctx, writes...)
	switch {
	case err == nil:
		r.metrics.StoreOperation("put", "ok")
	case errors.Is(err, store.ErrConflict):
		r.metrics.StoreOperation("put", "conflict")
	default:
		r.metrics.StoreOperation("put", "error")
	}
	return err
}

// list calls f for each record under prefix, in the order of names, with its
// content (nil for one that cannot be opened), until f returns false.
func (r *records) list(ctx context.Context, prefix string, f func(name string, generation uint64, plain []byte) bool) error {
	const page = 500
	for after := ""; ; {
		found, err := r.store.List(ctx, prefix, after, page)
		if err != nil {
			r.metrics.StoreOperation("list", "error")
			return fmt.Errorf("list %s in the store: %w", prefix, err)
		}
		r.metrics.StoreOperation("list", "ok")
		for _, rec := range found {
			after = rec.Name
			if !f(rec.Name, rec.Generation, r.open(rec.Name, rec.Record)) {
				return nil
			}
		}
		if len(found) < page {
			return nil
		}
	}
}

// load returns the record of key; an empty one, of generation 0, if there is none.
func (r *records) load(ctx context.Context, key Key) (*record, error) {
	plain, generation, err := r.read(ctx, key.String())
	if err != nil {
		return nil, err
	}
	return r.decode(key, generation, plain), nil
}

// each calls f with every record of a kind, in the order of appids, until f returns
// false. The record of one that cannot be read is empty.
func (r *records) each(ctx context.Context, kind Kind, f func(key Key, rec *record) bool) error {
	prefix := kind.String() + "/"
	return r.list(ctx, prefix, func(name string, generation uint64, plain []byte) bool {
		key := keyOf(kind, strings.TrimPrefix(name, prefix))
		return f(key, r.decode(key, generation, plain))
	})
}

func (r *records) decode(key Key, generation uint64, plain []byte) *record {
	if plain == nil {
		return &record{generation: generation, unreadable: generation > 0}
	}
	rec, err := decodeRecord(generation, plain)
	if err != nil {
		r.log.Error("a record cannot be read and is asked for from WeChat anew", "record", key.String(), "error", err)
		return &record{generation: generation, unreadable: true}
	}
	return rec
}

func (r *records) change(key Key, base uint64, rec *record) (change, error) {
	rec.unreadable = false // what is written can be read
	plain, err := rec.encode()
	if err != nil {
		return change{}, fmt.Errorf("encode %s: %w", key, err)
	}
	return change{name: key.String(), base: base, generation: rec.generation, plain: plain}, nil
}

// keyLocks are locks for any number of keys in little memory: keys that share a
// lock wait for each other, which costs time, never correctness. Whoever takes
// several takes them by [keyLocks.all].
type keyLocks struct {
	seed  maphash.Seed
	locks [256]sync.Mutex
}

func newKeyLocks() *keyLocks { return &keyLocks{seed: maphash.MakeSeed()} }

func (k *keyLocks) index(key Key) int {
	return int(maphash.Comparable(k.seed, key) % uint64(len(k.locks)))
}

// one locks key and returns what unlocks it.
func (k *keyLocks) one(key Key) func() {
	l := &k.locks[k.index(key)]
	l.Lock()
	return l.Unlock
}

// all locks the keys, in one order for everybody, and returns what unlocks them.
func (k *keyLocks) all(keys []Key) func() {
	var wanted [256]bool
	for _, key := range keys {
		wanted[k.index(key)] = true
	}
	for i, w := range wanted {
		if w {
			k.locks[i].Lock()
		}
	}
	return func() {
		for i, w := range wanted {
			if w {
				k.locks[i].Unlock()
			}
		}
	}
}
