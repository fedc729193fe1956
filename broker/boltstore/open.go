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
	// fullBelow is up to which size of a file all seals are opened before it is used.
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

// opener makes a handle of a path: it creates, checks, repairs and compacts.
type opener struct {
	Options
	// step is called between the steps of a change of files. Tests end the process
	// there.
	step func(name string)
	// program is what a child process runs: this program.
	program string
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
	return &opener{Options: opts, step: func(string) {}, program: ownProgram(), fullBelow: fullBelow, compactAbove: compactAbove}, nil
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
	inUse, err := o.check(f)
	if errors.Is(err, errNoChild) {
		o.Log.Warn("the store file cannot be checked before it is used; damage in it may end the program", "file", o.Path, "error", err)
		inUse, err = info.Size(), nil
	}
	if err != nil {
		return o.failed(f, err)
	}
	_ = os.Remove(o.newPath()) // what an interrupted attempt left
	h, err := o.openBolt(f, false)
	if err != nil {
		return o.failed(f, err)
	}
	full = full || info.Size() <= o.fullBelow
	if err := o.checkRecords(h, full); err != nil {
		other, rec, err := o.failed(f, err)
		_ = h.close() // nothing was written through it
		return other, rec, err
	}
	if h.unread = !full; info.Size() >= o.compactAbove && inUse < info.Size()/4 {
		return o.compact(h, info.Size()), nil, nil
	}
	return h, nil, nil
}

// failed tells a damaged file, which is repaired, from a system that refuses and
// from a wrong key.
func (o *opener) failed(f *os.File, err error) (*handle, *Recovery, error) {
	var broken *fault
	if errors.As(err, &broken) {
		return o.repair(f, broken)
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

// checkRecords opens the seals of all records, or of the first ones, enough to notice
// a wrong key. Its error is a *fault for damage.
func (o *opener) checkRecords(h *handle, all bool) error {
	var t tally
	err := h.view(func(b *bbolt.Bucket) error {
		c, last := b.Cursor(), []byte(nil)
		for k, v := c.First(); k != nil && (all || t.kept() < checkSample); k, v = c.Next() {
			if !inOrder(last, k) || !validName(k) {
				return errDamagedValue
			}
			if err := t.add(o.Check, k, v); err != nil {
				return err
			}
			last = k
		}
		return nil
	})
	var broken *fault
	if err != nil && !errors.As(err, &broken) {
		err = &fault{err}
	}
	return errors.Join(err, t.wrongKey())
}
