package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// caPlace is where a store has its CA: in a file beside it, or in a record.
type caPlace interface {
	// read returns the CA in PEM, nil for none.
	read(ctx context.Context) ([]byte, error)
	write(ctx context.Context, pem []byte) error
}

// ca returns where the store s, which is open, has its CA.
func (s storeText) ca(o opened, keys *seal.Keyring) caPlace {
	k := sharedCA{records: o.Store, keys: keys}
	if path, ok := s.boltPath(); ok {
		return caInFile{file: sealedCABeside(path, keys), record: k}
	}
	return caInRecord{k}
}

// caInFile is the CA beside a local store.
type caInFile struct {
	file *seal.File
	// record is where earlier versions had it.
	record sharedCA
}

func (p caInFile) read(ctx context.Context) ([]byte, error) {
	pem, err := p.file.Load()
	if errors.Is(err, fs.ErrNotExist) {
		_, pem, err = p.record.load(ctx)
	}
	return pem, err
}

func (p caInFile) write(_ context.Context, pem []byte) error { return p.file.Save(pem) }

// caInRecord is the CA in a shared store.
type caInRecord struct{ sharedCA }

func (p caInRecord) read(ctx context.Context) ([]byte, error) {
	_, pem, err := p.load(ctx)
	return pem, err
}

func (p caInRecord) write(ctx context.Context, pem []byte) error {
	rec, err := p.records.Get(ctx, caRecord)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return p.records.Put(ctx, p.sharedCA.write(rec, pem))
}

// caPlan is what is to be done about the CA.
type caPlan struct {
	to  caPlace
	pem []byte // nil for nothing to copy
	say string
}

func (p caPlan) String() string { return p.say }

// planCA looks at the CA of both stores. The source's is the one that apps trust.
func planCA(ctx context.Context, from, to caPlace, replace bool) (caPlan, error) {
	pem, err := from.read(ctx)
	if errors.Is(err, seal.ErrDamaged) {
		return caPlan{say: "damaged and left behind: serve makes a new one, and apps must be given its certificate"}, nil
	}
	if err != nil {
		return caPlan{}, fmt.Errorf("the CA of the source: %w", err)
	}
	if pem == nil {
		return caPlan{say: "the source has none"}, nil
	}
	before, err := to.read(ctx)
	switch {
	case err != nil && !replace:
		return caPlan{}, fmt.Errorf("the CA of the target: %w\nhint: to put the source's in its place add --replace", err)
	case bytes.Equal(before, pem):
		return caPlan{say: "there already"}, nil
	case before != nil && !replace:
		return caPlan{}, errors.New("the target has another CA than the source\n" +
			"hint: apps trust one of the two: if that is the source's, add --replace")
	}
	return caPlan{to: to, pem: pem, say: "copied"}, nil
}

// copy writes the CA and reads it again.
func (p caPlan) copy(ctx context.Context) error {
	if p.pem == nil {
		return nil
	}
	if err := p.to.write(ctx, p.pem); err != nil {
		return fmt.Errorf("the CA: %w", err)
	}
	got, err := p.to.read(ctx)
	if err != nil || !bytes.Equal(got, p.pem) {
		return errors.Join(errors.New("the CA is not what was written"), err)
	}
	return nil
}
