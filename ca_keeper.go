package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/rekey"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/mitm"
)

// caSealedName is the file beside a local store that holds the CA's certificate
// with its key, sealed. A store that is lost or damaged does not take it along.
const caSealedName = "wxsidecar-ca.sealed"

// caSealedFile returns the file of the CA beside a local store, nil for a store in memory,
// whose CA ends with the process, and for one that replicas share (sharedCA).
func caSealedFile(c config.Config, keys *seal.Keyring) *seal.File {
	path, ok := strings.CutPrefix(c.Store.Reveal(), "bolt:")
	if !ok {
		return nil
	}
	return sealedCABeside(path, keys)
}

// sealedCABeside returns the file of the CA beside the local store in the file path.
func sealedCABeside(path string, keys *seal.Keyring) *seal.File {
	return &seal.File{Path: filepath.Join(filepath.Dir(path), caSealedName), Keys: keys}
}

// caBeside returns the file in which a store on disk keeps its CA, if its folder is data_dir.
func caBeside(c config.Config, keys *seal.Keyring) *seal.File {
	return &seal.File{Path: filepath.Join(c.DataDir, caSealedName), Keys: keys}
}

// certificateIsAnothers reports whether the store is in memory and the certificate in
// data_dir belongs to the CA of a store on disk, which may be running.
func certificateIsAnothers(c config.Config) bool {
	if c.Store.Reveal() != config.MemoryStore {
		return false
	}
	_, err := os.Stat(caBeside(c, nil).Path)
	return err == nil
}

// caKeeper keeps the CA's certificate with its key, in PEM, from start to start.
type caKeeper struct {
	file    *seal.File  // nil keeps nothing
	beside  *seal.File  // what a store in memory reads the CA from
	records store.Store // what earlier versions kept it in
	now     func() time.Time
	log     *slog.Logger
}

// get returns the CA that is kept, and makes or renews one if need be. One that
// cannot be saved is good for this run.
func (k caKeeper) get(ctx context.Context) ([]byte, error) {
	if k.file == nil {
		return k.forThisRun()
	}
	saved, err := k.load()
	if err != nil {
		return nil, err
	}
	pem := saved
	if pem == nil {
		if pem, err = k.fromRecord(ctx); err != nil {
			return nil, err
		}
	}
	if pem, err = current(pem, k.now()); err != nil {
		return nil, err
	}
	if !bytes.Equal(pem, saved) {
		if err := k.file.Save(pem); err != nil {
			k.log.Warn("cannot save the CA; unless the next start can, it makes another one, and apps must be given its certificate",
				"file", config.Absolute(k.file.Path), "error", err)
			return pem, nil
		}
	}
	return pem, k.deleteRecord(ctx)
}

// forThisRun returns the CA of a store in memory, and changes no file. It is the one that a
// store on disk keeps, if that opens, because apps trust it already; else a new one.
func (k caKeeper) forThisRun() ([]byte, error) {
	pem, err := k.beside.Load()
	if err != nil {
		pem = nil
	}
	return current(pem, k.now())
}

// current returns pem, a renewed one if its life is half over, or a new one if it
// is nil.
func current(pem []byte, now time.Time) ([]byte, error) {
	if pem == nil {
		return mitm.Create(now)
	}
	renewed, err := mitm.Renew(pem, now)
	if err != nil || renewed != nil {
		return renewed, err
	}
	return pem, nil
}

// load returns what is in the file, nil if there is none. A file that does not open
// is moved aside: nothing but a new CA would let apps call again.
func (k caKeeper) load() ([]byte, error) {
	pem, err := k.file.Load()
	switch {
	case err == nil:
		return pem, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrWrongKey) && !errors.Is(err, seal.ErrUnknownFormat):
		return nil, err
	}
	aside, moveErr := k.file.MoveAside(k.now())
	if moveErr != nil {
		return nil, errors.Join(err, moveErr)
	}
	k.log.Warn("the CA's file does not open and was moved aside; a new CA is made, and apps must be given its certificate",
		"file", config.Absolute(k.file.Path), "moved_to", config.Absolute(aside), "error", err)
	return nil, nil
}

// fromRecord returns what the store holds, nil if there is none that opens.
func (k caKeeper) fromRecord(ctx context.Context) ([]byte, error) {
	rec, err := k.records.Get(ctx, caRecord)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pem, err := k.file.Keys.Open(caRecord, rec.Generation, rec.Sealed)
	if err != nil {
		k.log.Warn("the CA in the store does not open; a new CA is made, and apps must be given its certificate", "error", err)
		return nil, nil
	}
	return pem, nil
}

func (k caKeeper) deleteRecord(ctx context.Context) error {
	rec, err := k.records.Get(ctx, caRecord)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = k.records.Put(ctx, store.Write{Name: caRecord, Base: rec.Version()})
	}
	return err
}

// resealCA seals the CA's file anew under the current key and counts it in result.
func resealCA(file *seal.File, result *rekey.Result) error {
	if file == nil {
		return nil
	}
	resealed, err := file.Reseal()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		result.Failed = append(result.Failed, file.Path)
		return fmt.Errorf("rekey: the CA in %s: %w", file.Path, err)
	case resealed:
		result.Resealed++
	default:
		result.Current++
	}
	return nil
}
