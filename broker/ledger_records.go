package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// opened is a record as the store has it, with its content. A plain of nil is that of none
// and of one that cannot be opened; the latter is as good as none, but for its version, which
// whoever writes it anew must know.
type opened struct {
	plain   []byte
	version store.Version
	fence   uint64
}

// read returns what is stored under name. That a record is damaged is logged.
func (l *ledger) read(ctx context.Context, name string) (opened, error) {
	rec, err := l.store.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		l.metrics.StoreOperation("get", "ok")
		return opened{}, nil
	}
	if err != nil {
		l.metrics.StoreOperation("get", "error")
		return opened{}, fmt.Errorf("read %s from the store: %w", name, err)
	}
	l.metrics.StoreOperation("get", "ok")
	return l.unseal(name, rec), nil
}

func (l *ledger) unseal(name string, rec store.Record) opened {
	plain, err := l.seal.Open(name, rec.Generation, rec.Sealed)
	if err != nil {
		l.log.Error("a record cannot be opened and is asked for from WeChat anew", "record", name, "error", err)
		plain = nil
	}
	return opened{plain: plain, version: rec.Version(), fence: rec.Fence}
}

// change is one write before it is sealed. A nil plain deletes.
type change struct {
	name       string
	base       store.Version
	generation uint64
	fence      uint64
	plain      []byte
}

func (l *ledger) write(ctx context.Context, changes ...change) error {
	writes := make([]store.Write, len(changes))
	for i, c := range changes {
		writes[i] = store.Write{Name: c.name, Base: c.base, Record: store.Record{Generation: c.generation, Fence: c.fence}}
		if c.plain != nil {
			writes[i].Record.Sealed = l.seal.Seal(c.name, c.generation, c.plain)
		}
	}
	err := l.store.Put(ctx, writes...)
	switch {
	case err == nil:
		l.metrics.StoreOperation("put", "ok")
	case errors.Is(err, store.ErrConflict):
		l.metrics.StoreOperation("put", "conflict")
	default:
		l.metrics.StoreOperation("put", "error")
	}
	return err
}

// list calls f for each record under prefix, in the order of names, with its
// content, until f returns false.
func (l *ledger) list(ctx context.Context, prefix string, f func(name string, rec opened) bool) error {
	const page = 500
	for after := ""; ; {
		found, err := l.store.List(ctx, prefix, after, page)
		if err != nil {
			l.metrics.StoreOperation("list", "error")
			return fmt.Errorf("list %s in the store: %w", prefix, err)
		}
		l.metrics.StoreOperation("list", "ok")
		for _, rec := range found {
			after = rec.Name
			if !f(rec.Name, l.unseal(rec.Name, rec.Record)) {
				return nil
			}
		}
		if len(found) < page {
			return nil
		}
	}
}

// load returns the record of key, an empty one of generation 0 if there is none, and the
// version that the store has.
func (l *ledger) load(ctx context.Context, key Key) (*record, store.Version, error) {
	got, err := l.read(ctx, key.String())
	if err != nil {
		return nil, store.Version{}, err
	}
	return l.decode(key, got), got.version, nil
}

// stored is a record as the store has it, and its version.
type stored struct {
	rec  *record
	base store.Version
}

// loadEach is load for each of the keys, in one read.
func (l *ledger) loadEach(ctx context.Context, keys []Key) (map[Key]stored, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.String()
	}
	found, err := l.store.GetAll(ctx, names)
	if err != nil {
		l.metrics.StoreOperation("get", "error")
		return nil, fmt.Errorf("read %d records from the store: %w", len(keys), err)
	}
	l.metrics.StoreOperation("get", "ok")
	byName := make(map[string]opened, len(found))
	for _, named := range found {
		byName[named.Name] = l.unseal(named.Name, named.Record)
	}
	all := make(map[Key]stored, len(keys))
	for i, key := range keys {
		got := byName[names[i]]
		all[key] = stored{l.decode(key, got), got.version}
	}
	return all, nil
}

// each calls f with every record of a kind, in the order of appids, until f returns
// false. The record of one that cannot be read is empty.
func (l *ledger) each(ctx context.Context, kind Kind, f func(key Key, rec *record, v store.Version) bool) error {
	prefix := kind.String() + "/"
	return l.list(ctx, prefix, func(name string, got opened) bool {
		key := keyOf(kind, strings.TrimPrefix(name, prefix))
		return f(key, l.decode(key, got), got.version)
	})
}

func (l *ledger) decode(key Key, got opened) *record {
	generation := got.version.Generation
	if got.plain == nil {
		return &record{generation: generation, fence: got.fence, unreadable: generation > 0}
	}
	rec, err := decodeRecord(generation, got.plain)
	if err != nil {
		l.log.Error("a record cannot be read and is asked for from WeChat anew", "record", key.String(), "error", err)
		rec = &record{generation: generation, unreadable: true}
	}
	rec.fence = got.fence
	return rec
}

// recordChange is the write of rec over a record of the version base.
func recordChange(key Key, base store.Version, rec *record) (change, error) {
	rec.unreadable = false // what is written can be read
	plain, err := rec.encode()
	if err != nil {
		return change{}, fmt.Errorf("encode %s: %w", key, err)
	}
	return change{name: key.String(), base: base, generation: rec.generation, fence: rec.fence, plain: plain}, nil
}

// deletion is the deletion of a record of that version.
func deletion(name string, v store.Version) change {
	return change{name: name, base: v, generation: v.Generation}
}

// deleteAll deletes records that nobody uses, one by one, so that a conflict keeps
// none of the others.
func (l *ledger) deleteAll(ctx context.Context, gone []change) {
	for _, c := range gone {
		if err := l.write(ctx, c); err != nil && !errors.Is(err, store.ErrConflict) {
			l.log.Warn("cannot delete a record that nobody uses", "record", c.name, "error", err)
			return
		}
	}
}
