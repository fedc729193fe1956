package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// ErrLocked is wrapped by the error of [Open] when another process uses the file.
var ErrLocked = errors.New("another wxsidecar uses it")

// errClosed is what operations return after Close.
var errClosed = errors.New("the store is closed")

// reopenPause is between two attempts to open a file that faulted.
const reopenPause = time.Second

// Options say how a store is opened. Only Path must be set.
type Options struct {
	// Path is the file. It and its directory are made if need be, with modes 0600
	// and 0700. Beside it the store uses <Path>.new for a moment.
	Path string
	// LockTimeout is how long Open waits for another process to give the file up.
	// 0 means one second.
	LockTimeout time.Duration
	// Now is used for the name of a file that is moved aside and for the pause
	// between attempts. Nil means time.Now.
	Now func() time.Time
	// Log gets what was repaired and compacted. Nil discards it.
	Log *slog.Logger
	// Check opens a record's seal, to find damage that only the seal shows. It
	// returns nil for a sound record and an error that wraps seal.ErrDamaged for a
	// damaged one. Any other error says that nothing can be said of the record (a
	// wrong key): it is left alone, but if no record of the file opens, Open fails
	// with that error and touches nothing. Nil checks nothing. It must be safe for
	// concurrent use and must not keep the bytes.
	Check func(name string, rec store.Record) error
}

// Recovery is what a store did about a damaged file.
type Recovery struct {
	// MovedTo is where the damaged file is now.
	MovedTo string
	// Kept is how many records were carried over into the new file.
	Kept int
	// Reason says what was damaged.
	Reason string
}

// Store is a [store.Store] in a local file. It is safe for concurrent use.
type Store struct {
	o   *opener
	cur atomic.Pointer[handle]

	// mu guards what follows, and has one caller at a time open the file again, and none once
	// the store is closed.
	mu       sync.Mutex
	recovery *Recovery
	closed   bool
	tried    time.Time // the last failed attempt to open again
	triedErr error

	stop  context.CancelFunc
	sweep sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open opens the store, and makes or repairs its file if need be. It blocks on the
// disk, and up to LockTimeout for another process; it then returns an error that
// wraps [ErrLocked]. A repair is logged and told by [Store.Recovery].
func Open(opts Options) (*Store, error) {
	o, err := newOpener(opts)
	if err != nil {
		return nil, err
	}
	return open(o)
}

func open(o *opener) (*Store, error) {
	h, rec, err := o.load(false)
	if err != nil {
		return nil, o.explain(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{o: o, recovery: rec, stop: cancel}
	s.cur.Store(h)
	if h.unread && o.Check != nil {
		s.sweep.Go(func() { s.sweepAll(ctx) })
	}
	return s, nil
}

// Recovery returns what the last repair did, at the start or since, nil if there
// was none. The caller owns it.
func (s *Store) Recovery() *Recovery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recovery == nil {
		return nil
	}
	rec := *s.recovery
	return &rec
}

// Close waits for what is under way and gives the file up. Later operations return
// an error; a second Close does nothing.
func (s *Store) Close() error {
	s.stop()
	s.sweep.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.cur.Load().close(); err != nil {
		return fmt.Errorf("close store %s: %w", s.o.Path, err)
	}
	return nil
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, name string) (store.Record, error) {
	var rec store.Record
	err := s.read(ctx, func(b *bbolt.Bucket) error {
		value := b.Get([]byte(name))
		if value == nil {
			return store.ErrNotFound
		}
		var err error
		rec, err = decodeCopy(value)
		return err
	})
	if err != nil {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, err)
	}
	return rec, nil
}

// GetAll implements [store.Store].
func (s *Store) GetAll(ctx context.Context, names []string) ([]store.Named, error) {
	var out []store.Named
	err := s.read(ctx, func(b *bbolt.Bucket) error {
		out = nil
		for _, name := range names {
			value := b.Get([]byte(name))
			if value == nil {
				continue
			}
			rec, err := decodeCopy(value)
			if err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
			out = append(out, store.Named{Name: name, Record: rec})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("get %d records: %w", len(names), err)
	}
	return out, nil
}

// List implements [store.Store].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]store.Named, error) {
	var out []store.Named
	err := s.read(ctx, func(b *bbolt.Bucket) error {
		out = nil
		c, last := b.Cursor(), []byte(nil)
		for k, v := c.Seek([]byte(max(prefix, after))); k != nil && len(out) < limit; k, v = c.Next() {
			if !bytes.HasPrefix(k, []byte(prefix)) {
				return nil
			}
			if after != "" && string(k) == after {
				continue
			}
			if !inOrder(last, k) || !validName(k) {
				return errDamagedValue // and a walk that might not end
			}
			rec, err := decodeCopy(v)
			if err != nil {
				return err
			}
			last = k
			out = append(out, store.Named{Name: string(k), Record: rec})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list records %q: %w", prefix, err)
	}
	return out, nil
}

// read runs fn on the bucket in a reading transaction.
func (s *Store) read(ctx context.Context, fn func(*bbolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := s.live()
	if err != nil {
		return err
	}
	return h.view(fn)
}

// live returns the open file, and opens it again if it faulted.
func (s *Store) live() (*handle, error) {
	if h := s.cur.Load(); h.cause() == nil {
		return h, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.cur.Load()
	if h.cause() == nil {
		return h, nil
	}
	if s.closed {
		return nil, errClosed
	}
	if s.triedErr != nil && s.o.Now().Sub(s.tried) < reopenPause {
		return nil, s.triedErr
	}
	return s.reopenLocked(h)
}

// reopenLocked opens the file again, whose handle h has faulted.
func (s *Store) reopenLocked(h *handle) (*handle, error) {
	s.o.Log.Error("the store file faulted, it is opened again", "file", s.o.Path, "cause", h.cause())
	h.abandon()
	fresh, rec, err := s.o.load(true)
	if err != nil {
		s.tried, s.triedErr = s.o.Now(), s.o.explain(err)
		return nil, s.triedErr
	}
	s.triedErr = nil
	if rec != nil {
		s.recovery = rec
	}
	s.cur.Store(fresh)
	return fresh, nil
}
