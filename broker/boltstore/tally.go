package boltstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// checkFunc is Options.Check.
type checkFunc func(name string, rec store.Record) error

// tally counts records by what Options.Check says of them.
type tally struct {
	sound, unopened int
	unopenedErr     error
}

// kept returns how many records are not damaged.
func (t *tally) kept() int { return t.sound + t.unopened }

// add returns what makes the record damaged, or counts it and returns nil. One under
// another key is not damaged: a wrong setting must not cause a repair.
func (t *tally) add(check checkFunc, name, value []byte) error {
	rec, err := decode(value)
	if err == nil && check != nil {
		err = check(string(name), rec)
	}
	switch {
	case err == nil:
		t.sound++
	case damaged(string(name), rec, err):
		return fmt.Errorf("a record is damaged: %w", err)
	default:
		t.unopened++
		t.unopenedErr = err
	}
	return nil
}

// damaged reports whether err, with which a record does not open, is the record's
// fault. Where nothing can be said of it, it may still begin too early or too late: a
// flipped bit in a length has moved a part of its generation, of which the upper
// bytes are 0, into its name, or a part of its name into its generation.
func damaged(name string, rec store.Record, err error) bool {
	return errors.Is(err, errDamagedValue) || errors.Is(err, seal.ErrDamaged) ||
		strings.IndexByte(name, 0) >= 0 || rec.Generation >= 1<<56
}

// wrongKey returns an error if there are records, and none can be opened.
func (t *tally) wrongKey() error {
	if t.sound > 0 || t.unopened == 0 {
		return nil
	}
	return fmt.Errorf("none of its %d records can be opened: %w", t.unopened, t.unopenedErr)
}
