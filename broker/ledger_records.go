package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// read returns the content stored under name. A record that cannot be opened is
// as good as none, but for its generation, which whoever writes it anew must
// know; that it is damaged is logged.
func (l *ledger) read(ctx context.Context, name string) (plain []byte, generation uint64, err error) {
	rec, err := l.store.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		l.metrics.StoreOperation("get", "ok")
		return nil, 0, nil
	}
	if err != nil {
		l.metrics.StoreOperation("get", "error")
		return nil, 0, fmt.Errorf("read %s from the store: %w", name, err)
	}
	l.metrics.StoreOperation("get", "ok")
	return l.unseal(name, rec), rec.Generation, nil
}

// unseal returns nil for what cannot be opened.
func (l *ledger) unseal(name string, rec store.Record) []byte {
	plain, err := l.seal.Open(name, rec.Generation, rec.Sealed)
	if err != nil {
		l.log.Error("a record cannot be opened and is asked for from WeChat anew", "record", name, "error", err)
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

func (l *ledger) write(ctx context.Context, changes ...change) error {
	writes := make([]store.Write, len(changes))
	for i, c := range changes {
		writes[i] = store.Write{Name: c.name, Base: c.base, Record: store.Record{Generation: c.generation}}
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
// content (nil for one that cannot be opened), until f returns false.
func (l *ledger) list(ctx context.Context, prefix string, f func(name string, generation uint64, plain []byte) bool) error {
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
			if !f(rec.Name, rec.Generation, l.unseal(rec.Name, rec.Record)) {
				return nil
			}
		}
		if len(found) < page {
			return nil
		}
	}
}

// load returns the record of key; an empty one, of generation 0, if there is none.
func (l *ledger) load(ctx context.Context, key Key) (*record, error) {
	plain, generation, err := l.read(ctx, key.String())
	if err != nil {
		return nil, err
	}
	return l.decode(key, generation, plain), nil
}

// each calls f with every record of a kind, in the order of appids, until f returns
// false. The record of one that cannot be read is empty.
func (l *ledger) each(ctx context.Context, kind Kind, f func(key Key, rec *record) bool) error {
	prefix := kind.String() + "/"
	return l.list(ctx, prefix, func(name string, generation uint64, plain []byte) bool {
		key := keyOf(kind, strings.TrimPrefix(name, prefix))
		return f(key, l.decode(key, generation, plain))
	})
}

func (l *ledger) decode(key Key, generation uint64, plain []byte) *record {
	if plain == nil {
		return &record{generation: generation, unreadable: generation > 0}
	}
	rec, err := decodeRecord(generation, plain)
	if err != nil {
		l.log.Error("a record cannot be read and is asked for from WeChat anew", "record", key.String(), "error", err)
		return &record{generation: generation, unreadable: true}
	}
	return rec
}

// recordChange is the write of rec over a record of generation base.
func recordChange(key Key, base uint64, rec *record) (change, error) {
	rec.unreadable = false // what is written can be read
	plain, err := rec.encode()
	if err != nil {
		return change{}, fmt.Errorf("encode %s: %w", key, err)
	}
	return change{name: key.String(), base: base, generation: rec.generation, plain: plain}, nil
}

// deletion is the deletion of a record of that generation.
func deletion(name string, generation uint64) change {
	return change{name: name, base: generation, generation: generation}
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
