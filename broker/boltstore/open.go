package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// fullBelow is up to which size a file is read whole before it is used.
	fullBelow = 32 << 20
	// compactAbove is from which size on a mostly empty file is made smaller.
	compactAbove = 32 << 20
	// openAttempts is how often a file that was replaced meanwhile is tried again.
	openAttempts = 10
	// checkSample is how many records of a large file are opened at once, to notice
	// a wrong key.
	checkSample = 64
)

// errReplaced says that the file got another name while its lock was waited for.
var errReplaced = errors.New("the file was replaced meanwhile")

// opener makes a handle of a path: it creates, inspects, repairs and compacts.
type opener struct {
	Options
	// step is called between the steps of a change of files. Tests end the process
	// there.
	step func(name string)
	// fullBelow and compactAbove are the constants of these names, in bytes; tests
	// make them small.
	fullBelow, compactAbove int64
}

func newOpener(opts Options) (*opener, error) {
	if opts.Path == "" {
		return nil, errors.New("open store: no file given\nhint: store: bolt:PATH")
	}
	path, err := filepath.Abs(opts.Path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", opts.Path, err)
	}
	// A link to the file must not be replaced by a file.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	opts.Path = path
	if opts.LockTimeout == 0 {
		opts.LockTimeout = time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &opener{Options: opts, step: func(string) {}, fullBelow: fullBelow, compactAbove: compactAbove}, nil
}

// explain names the file, and what to do.
func (o *opener) explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, ErrLocked):
		hint = "\nhint: one wxsidecar runs for a component, on one store: let the apps call the one that runs, or stop it first (in Kubernetes replicas: 1 and strategy: Recreate)"
	case errors.Is(err, fs.ErrPermission):
		hint = "\nhint: the file of store: bolt:PATH and its directory must belong to the user that wxsidecar runs as, and be writable"
	}
	return fmt.Errorf("open store %s: %w%s", o.Path, err, hint)
}

// load returns an open file at Path that is safe to give to bbolt. With full it
// is read whole, however large.
func (o *opener) load(full bool) (h *handle, rec *Recovery, err error) {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, nil, err
	}
	for range openAttempts {
		h, rec, err = o.attempt(full)
		if !errors.Is(err, errReplaced) {
			return h, rec, err
		}
	}
	return nil, nil, err
}

func (o *opener) attempt(full bool) (*handle, *Recovery, error) {
	f, err := o.lock(o.Path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		h, err := o.create()
		return h, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	h, rec, err := o.use(f, full)
	if err != nil || h.file != f {
		_ = f.Close() // it was replaced by another, or cannot be used
	}
	return h, rec, err
}

// use makes a handle of the locked file f, or of the one that replaces it.
func (o *opener) use(f *os.File, full bool) (*handle, *Recovery, error) {
	o.warnNetwork(f)
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	full = full || info.Size() <= o.fullBelow
	in := inspect(f, info.Size(), full, o.Check)
	if in.damage == nil && in.wasted(o.compactAbove) && !full {
		full = true // only what was read may be copied
		in = inspect(f, info.Size(), full, o.Check)
	}
	if in.damage != nil {
		return o.repair(in, in.damage)
	}
	if in.tally.sound == 0 && in.tally.unopened > 0 {
		return nil, nil, fmt.Errorf("none of its %d records can be opened: %w", in.tally.unopened, in.tally.unopenedErr)
	}
	_ = os.Remove(o.newPath()) // what an interrupted attempt left
	if in.wasted(o.compactAbove) {
		if h, err := o.compact(in); err == nil {
			return h, nil, nil
		} else {
			o.Log.Warn("the store file could not be made smaller, it is used as it is", "file", o.Path, "error", err)
		}
	}
	h, err := o.openBolt(f, false)
	if err != nil {
		return o.failed(in, err)
	}
	h.unread = !full
	if !full {
		if err := o.sample(h); err != nil {
			return nil, nil, errors.Join(err, h.close())
		}
	}
	return h, nil, nil
}

// failed tells a damaged file, which is repaired, from a disk that refuses.
func (o *opener) failed(in *inspection, err error) (*handle, *Recovery, error) {
	var broken *fault
	if errors.As(err, &broken) {
		return o.repair(in, err)
	}
	return nil, nil, err
}

// openBolt gives the locked file f to bbolt, which closes it when it is closed.
func (o *opener) openBolt(f *os.File, building bool) (*handle, error) {
	opts := &bbolt.Options{
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		NoSync:       building,
		// The lock belongs to the open file: bbolt finds it taken by itself.
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	}
	var db *bbolt.DB
	err := guard(func() (err error) {
		db, err = bbolt.Open(f.Name(), 0o600, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newHandle(db, f), nil
}

// sample opens some records of a file of which none was opened yet.
func (o *opener) sample(h *handle) error {
	if o.Check == nil {
		return nil
	}
	var t tally
	err := h.view(func(b *bbolt.Bucket) error {
		c := b.Cursor()
		for k, v := c.First(); k != nil && t.unopened+t.sound+t.damaged < checkSample; k, v = c.Next() {
			rec, err := decode(v)
			if err != nil {
				return err
			}
			_ = t.add(o.Check, string(k), rec) // damage is left to the sweep
		}
		return nil
	})
	if err != nil || t.sound > 0 || t.unopened == 0 {
		return nil // a fault has killed the handle; the first use repairs
	}
	return fmt.Errorf("none of %d records can be opened: %w", t.unopened, t.unopenedErr)
}
