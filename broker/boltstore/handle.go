package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// abandonWait is how long a writer that may still be at work is waited for before
// its file is opened again.
const abandonWait = 2 * time.Second

// handle is one open file. After a fault it is dead: bbolt may then hold its locks
// forever, so nothing goes through it any more.
type handle struct {
	db   *bbolt.DB
	file *os.File
	// path is where the file is now, for a file that was opened by the name under
	// which it was built; else "".
	path string
	// unread: the leaf pages were not read yet.
	unread bool

	dead chan struct{} // closed by the first fault
	why  atomic.Pointer[error]

	// begin has one transaction begin at a time, so that nobody waits inside bbolt
	// for a lock that a fault left behind.
	begin sync.Mutex

	given sync.Once // abandon

	turn    chan struct{} // holds an element while somebody writes
	mu      sync.Mutex
	pending []*put
}

func newHandle(db *bbolt.DB, file *os.File) *handle {
	return &handle{db: db, file: file, dead: make(chan struct{}), turn: make(chan struct{}, 1)}
}

// fault is a panic in bbolt, or the memory fault of a page that is not there.
type fault struct{ what any }

func (f *fault) Error() string { return fmt.Sprintf("the store file is damaged: %v", f.what) }

// guard runs fn and returns a panic of it, a memory fault included, as a *fault.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if what := recover(); what != nil {
			err = &fault{what}
		}
	}()
	return fn()
}

// cause returns what killed the handle, nil while it lives.
func (h *handle) cause() error {
	if p := h.why.Load(); p != nil {
		return *p
	}
	return nil
}

func (h *handle) kill(cause error) {
	if h.why.CompareAndSwap(nil, &cause) {
		close(h.dead)
	}
}

// judge kills the handle if err shows that the file or its mapping is broken.
func (h *handle) judge(err error) error {
	var f *fault
	if errors.As(err, &f) || errors.Is(err, errDamagedValue) ||
		errors.Is(err, berrors.ErrInvalidMapping) || errors.Is(err, berrors.ErrBucketNotFound) {
		h.kill(err)
	}
	return err
}

// start begins a transaction.
func (h *handle) start(writable bool) (tx *bbolt.Tx, err error) {
	h.begin.Lock()
	defer h.begin.Unlock()
	if err := h.cause(); err != nil {
		return nil, err
	}
	err = h.judge(guard(func() error {
		tx, err = h.db.Begin(writable)
		return err
	}))
	return tx, err
}

// view runs fn on the bucket in a transaction that only reads.
func (h *handle) view(fn func(*bbolt.Bucket) error) error {
	return h.run(false, fn)
}

// update runs fn on the bucket and commits if it returns nil. The caller has the
// turn.
func (h *handle) update(fn func(*bbolt.Bucket) error) error {
	return h.run(true, fn)
}

func (h *handle) run(writable bool, fn func(*bbolt.Bucket) error) error {
	tx, err := h.start(writable)
	if err != nil {
		return closedIsOurs(err)
	}
	return h.judge(h.named(guard(func() error {
		done := false
		defer func() {
			if !done && (!writable || h.cause() == nil) {
				_ = tx.Rollback()
			}
		}()
		b := tx.Bucket(bucketName())
		if b == nil {
			return berrors.ErrBucketNotFound
		}
		if err := fn(b); err != nil || !writable {
			return err
		}
		done = true
		return tx.Commit()
	})))
}

// named has an error name the file by the path at which people find it.
func (h *handle) named(err error) error {
	var p *fs.PathError
	if h.path != "" && errors.As(err, &p) {
		p.Path = h.path // made for this error by the os package
	}
	return err
}

func closedIsOurs(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	return err
}

// close waits for transactions and closes the file.
func (h *handle) close() error {
	if h.cause() != nil {
		h.abandon()
		return nil
	}
	h.turn <- struct{}{} // bbolt's own wait comes after it holds locks that writers need
	defer func() { <-h.turn }()
	err := guard(h.db.Close)
	h.kill(errClosed)
	return err
}

// abandon gives the file, and with it the lock, back. The mapping stays: somebody
// may still read in it.
func (h *handle) abandon() { h.given.Do(h.giveUp) }

func (h *handle) giveUp() {
	wait := time.NewTimer(abandonWait)
	defer wait.Stop()
	select {
	case h.turn <- struct{}{}: // never given back: nobody writes here again
	case <-wait.C:
	}
	unlock(h.file) // closing is not enough: the mapping keeps the file open
	_ = h.file.Close()
}
