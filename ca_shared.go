package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	// caRecord is the record of a shared store that holds the CA's certificate with its
	// key, sealed. The local stores of earlier versions have it as well.
	caRecord = "meta/ca"
	// caDamagedRecord holds, sealed anew, the last content of caRecord that did not open.
	caDamagedRecord = "meta/ca-damaged"
	// caAttempts is how often a replica looks again after another was faster. Whoever was
	// faster has written what it wants, so that the second look finds it.
	caAttempts = 10
)

// sharedCA keeps the CA in a store that replicas share, so that an app trusts them all by one
// certificate. Replicas that start at once agree by compare-and-set.
type sharedCA struct {
	records store.Store
	keys    *seal.Keyring
	// beside is the file of a local store that was in use before, which is taken over if the
	// store has no CA yet; nil for none.
	beside *seal.File
	now    func() time.Time
	log    *slog.Logger
}

// get returns the CA of the store, and puts one there, or renews it, if need be.
func (k sharedCA) get(ctx context.Context) ([]byte, error) {
	var err error
	for range caAttempts {
		var pem []byte
		if pem, err = k.attempt(ctx); !errors.Is(err, store.ErrConflict) {
			return pem, err
		}
	}
	return nil, err
}

func (k sharedCA) attempt(ctx context.Context) ([]byte, error) {
	rec, saved, err := k.load(ctx)
	var damage error
	if errors.Is(err, seal.ErrDamaged) {
		damage, err = err, nil
	}
	if err != nil {
		return nil, err
	}
	pem := saved
	if rec.Generation == 0 {
		pem = k.fromFile()
	}
	if pem, err = current(pem, k.now()); err != nil || bytes.Equal(pem, saved) {
		return pem, err
	}
	writes := []store.Write{k.write(rec, pem)}
	if damage != nil {
		aside, err := k.moveAside(ctx, rec)
		if err != nil {
			return nil, err
		}
		writes = append(writes, aside)
	}
	if err := k.records.Put(ctx, writes...); err != nil {
		return nil, err
	}
	if damage != nil {
		k.log.Warn("the CA in the store does not open and was moved aside; a new CA is made, and apps must be given its certificate",
			"moved_to", caDamagedRecord, "error", damage)
	}
	return pem, nil
}

// restore puts the CA that this replica uses back into a store that was emptied, unless another
// one was faster: a replica that starts later must not make a new one, which no app trusts.
func (k sharedCA) restore(ctx context.Context, pem []byte) {
	err := k.records.Put(ctx, k.write(store.Record{}, pem))
	if err != nil && !errors.Is(err, store.ErrConflict) {
		k.log.Warn("the CA could not be put back into the store that was emptied; a replica that starts later makes a new one, which apps do not trust", "error", err)
	}
}

// load returns the record and what it holds; the zero record if there is none. A wrong key is
// an error and no damage: another replica may already seal with the next key, and its CA must
// not be displaced.
func (k sharedCA) load(ctx context.Context) (store.Record, []byte, error) {
	rec, err := k.records.Get(ctx, caRecord)
	if errors.Is(err, store.ErrNotFound) {
		return store.Record{}, nil, nil
	}
	if err != nil {
		return store.Record{}, nil, err
	}
	pem, err := k.keys.Open(caRecord, rec.Generation, rec.Sealed)
	return rec, pem, err
}

// fromFile returns what a local store kept, nil if that is nothing that opens.
func (k sharedCA) fromFile() []byte {
	if k.beside == nil {
		return nil
	}
	pem, err := k.beside.Load()
	if err != nil {
		return nil
	}
	return pem
}

func (k sharedCA) write(before store.Record, pem []byte) store.Write {
	next := before.Generation + 1
	return store.Write{Name: caRecord, Base: before.Version(), Record: store.Record{
		Generation: next, Fence: before.Fence, Sealed: k.keys.Seal(caRecord, next, pem),
	}}
}

// moveAside returns the write that keeps what does not open in the one place for it. It is
// sealed as it is: so it opens for who seals the store anew or copies it.
func (k sharedCA) moveAside(ctx context.Context, damaged store.Record) (store.Write, error) {
	before, err := k.records.Get(ctx, caDamagedRecord)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Write{}, fmt.Errorf("move the damaged CA aside: %w", err)
	}
	next := before.Generation + 1
	return store.Write{Name: caDamagedRecord, Base: before.Version(), Record: store.Record{
		Generation: next, Sealed: k.keys.Seal(caDamagedRecord, next, damaged.Sealed),
	}}, nil
}
