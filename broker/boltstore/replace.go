package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// This file changes which file is at Path. The rule: a new file is built as
// <Path>.new, under its own lock and with nobody looking, made durable, and only
// then renamed. Whatever is found at <Path>.new at another time is rubbish. A crash
// between two steps leaves the old state or the new one.

func (o *opener) newPath() string { return o.Path + ".new" }

// create makes the first file.
func (o *opener) create() (*handle, error) {
	h, err := o.build(func(db *bbolt.DB) error {
		// Whoever waited for the lock may find that another has made the file.
		if _, err := os.Stat(o.Path); !errors.Is(err, fs.ErrNotExist) {
			return errReplaced
		}
		w, err := newBatches(db)
		if err != nil {
			return err
		}
		return w.commit()
	})
	if err != nil {
		return nil, err
	}
	if err := o.place(h); err != nil {
		return nil, errors.Join(err, h.close())
	}
	o.Log.Info("the store file was created", "file", o.Path)
	return h, nil
}

// repair moves the locked file f aside and makes a new one of what bbolt can still
// read in it. With a wrong key it touches nothing.
func (o *opener) repair(f *os.File, reason *fault) (*handle, *Recovery, error) {
	var t tally
	h, err := o.build(func(db *bbolt.DB) error {
		return errors.Join(o.carryOver(f, db, &t), t.wrongKey())
	})
	if err != nil {
		return nil, nil, fmt.Errorf("repair it (%w): %w", reason, err)
	}
	aside, err := o.keepAside()
	if err == nil {
		err = o.place(h)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("repair it (%w): %w", reason, err), h.close())
	}
	rec := &Recovery{MovedTo: aside, Kept: t.kept(), Reason: fmt.Sprint(reason.what)}
	o.Log.Error("the store file was damaged and has been repaired; what is missing comes back from WeChat",
		"file", o.Path, "reason", rec.Reason, "kept", rec.Kept, "moved_to", aside)
	return h, rec, nil
}

// compact replaces the mostly empty file of old, of that size, by a smaller one with
// the same records, and returns the handle of the file that is at Path then.
func (o *opener) compact(old *handle, size int64) *handle {
	h, err := o.build(func(db *bbolt.DB) error { return bbolt.Compact(db, old.db, batchBytes) })
	if err == nil {
		if err = o.place(h); err != nil {
			err = errors.Join(err, h.close())
		}
	}
	if err != nil {
		o.Log.Warn("the store file could not be made smaller, it is used as it is", "file", o.Path, "error", err)
		return old
	}
	h.unread = old.unread
	_ = old.close() // nothing was written through it
	o.Log.Info("the store file was made smaller", "file", o.Path, "bytes_before", size)
	return h
}

// build returns a new, locked and durable file at newPath that fill has filled.
func (o *opener) build(fill func(*bbolt.DB) error) (*handle, error) {
	f, err := o.lock(o.newPath(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	o.step("locked")
	h, err := o.fill(f, fill)
	if err != nil {
		_ = f.Close()
		_ = os.Remove(o.newPath())
		return nil, err
	}
	return h, nil
}

func (o *opener) fill(f *os.File, fill func(*bbolt.DB) error) (*handle, error) {
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	h, err := o.openBolt(f, true)
	if err != nil {
		return nil, err
	}
	o.step("initialised")
	err = guard(func() error { return fill(h.db) })
	o.step("filled")
	if err == nil {
		h.db.NoSync = false
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, guard(h.db.Close))
	}
	o.step("synced")
	return h, nil
}

// keepAside gives the file at Path a second name, with the date, and returns it.
func (o *opener) keepAside() (string, error) {
	base := o.Path + ".damaged-" + o.Now().UTC().Format("20060102T150405Z")
	for n := 1; ; n++ {
		aside := base
		if n > 1 {
			aside = fmt.Sprintf("%s-%d", base, n)
		}
		err := os.Link(o.Path, aside)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		if err != nil {
			// No hard links here. A crash before the next rename then costs the
			// records that were carried over, but not the damaged file.
			err = os.Rename(o.Path, aside)
		}
		o.step("aside")
		return aside, err
	}
}

// place gives the new file its name.
func (o *opener) place(h *handle) error {
	if err := os.Rename(o.newPath(), o.Path); err != nil {
		return err
	}
	h.path = o.Path
	o.step("renamed")
	err := syncDir(filepath.Dir(o.Path))
	o.step("placed")
	return err
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
