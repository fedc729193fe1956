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

// batchBytes is how much goes into one transaction while a file is filled.
const batchBytes = 4 << 20

func (o *opener) newPath() string { return o.Path + ".new" }

// create makes the first file.
func (o *opener) create() (*handle, error) {
	h, err := o.build(nil)
	if err != nil {
		return nil, err
	}
	if err := o.place(h); err != nil {
		return nil, errors.Join(err, h.close())
	}
	o.Log.Info("the store file was created", "file", o.Path)
	return h, nil
}

// repair moves the file aside and makes a new one of what is sound in it.
func (o *opener) repair(in *inspection, reason error) (*handle, *Recovery, error) {
	s := newSalvage(in, o.Check)
	s.scan()
	if s.tally.sound == 0 && s.tally.unopened > 0 {
		return nil, nil, fmt.Errorf("it is damaged (%w), and none of its %d records can be opened: %w",
			reason, s.tally.unopened, s.tally.unopenedErr)
	}
	h, err := o.build(s)
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
	rec := &Recovery{MovedTo: aside, Kept: len(s.found), Reason: reason.Error(), Doubtful: s.doubtful()}
	o.Log.Error("the store file was damaged and has been repaired; what is missing comes back from WeChat",
		"file", o.Path, "reason", rec.Reason, "kept", rec.Kept, "doubtful", rec.Doubtful, "moved_to", aside)
	return h, rec, nil
}

// compact replaces a sound file by a smaller one with the same records.
func (o *opener) compact(in *inspection) (*handle, error) {
	s := newCopy(in)
	s.scan()
	h, err := o.build(s)
	if err != nil {
		return nil, err
	}
	if err := o.place(h); err != nil {
		return nil, errors.Join(err, h.close())
	}
	o.Log.Info("the store file was made smaller", "file", o.Path, "bytes_before", in.size, "records", len(s.found))
	return h, nil
}

// build returns a new, locked and durable file at newPath with the records of s,
// none for nil.
func (o *opener) build(s *salvage) (*handle, error) {
	f, err := o.lock(o.newPath(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	o.step("locked")
	if s == nil {
		// Whoever waited for the lock may find that another has made the file.
		if _, err := os.Stat(o.Path); !errors.Is(err, fs.ErrNotExist) {
			_ = f.Close()
			return nil, errReplaced
		}
	}
	h, err := o.fill(f, s)
	if err != nil {
		_ = f.Close()
		_ = os.Remove(o.newPath())
		return nil, err
	}
	return h, nil
}

func (o *opener) fill(f *os.File, s *salvage) (*handle, error) {
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	h, err := o.openBolt(f, true)
	if err != nil {
		return nil, err
	}
	o.step("initialised")
	err = guard(func() error { return writeAll(h.db, s) })
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

// writeAll makes the bucket and puts the records in, in transactions of a bounded
// size.
func writeAll(db *bbolt.DB, s *salvage) error {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketName())
		return err
	})
	if err != nil || s == nil {
		return err
	}
	tx, err := db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	size := 0
	err = s.each(func(name string, value []byte) error {
		if size += len(name) + len(value); size > batchBytes {
			size = 0
			if err := tx.Commit(); err != nil {
				return err
			}
			if tx, err = db.Begin(true); err != nil {
				return err
			}
		}
		b := tx.Bucket(bucketName())
		b.FillPercent = 0.9 // the names come in order
		// bbolt keeps the value until the commit.
		return b.Put([]byte(name), append([]byte(nil), value...))
	})
	if err != nil {
		return err
	}
	return tx.Commit()
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
			// salvaged records, but not the damaged file.
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
