package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	generationSize = 8
	maxName        = 1024
	// maxSealed bounds what is written, so that a wrong length in a damaged page is
	// recognised before anything of that length is allocated.
	maxSealed = 16 << 20
)

// bucketName is the one bucket. It is a function because a slice cannot be a
// constant, and bbolt keeps what it is given.
func bucketName() []byte { return []byte("records") }

// errDamagedValue is what a value that no Put of ours can have written gives.
var errDamagedValue = errors.New("the stored value is damaged")

func encode(rec store.Record) []byte {
	value := make([]byte, 0, generationSize+len(rec.Sealed))
	value = binary.BigEndian.AppendUint64(value, rec.Generation)
	return append(value, rec.Sealed...)
}

// decode returns the record in value, whose bytes it shares.
func decode(value []byte) (store.Record, error) {
	if len(value) < generationSize || len(value) > generationSize+maxSealed {
		return store.Record{}, errDamagedValue
	}
	rec := store.Record{Generation: binary.BigEndian.Uint64(value), Sealed: value[generationSize:]}
	if rec.Generation == 0 {
		return store.Record{}, errDamagedValue
	}
	return rec, nil
}

// decodeCopy is decode with bytes of its own, which outlive the transaction.
func decodeCopy(value []byte) (store.Record, error) {
	rec, err := decode(value)
	if err == nil {
		rec.Sealed = append(make([]byte, 0, len(rec.Sealed)), rec.Sealed...)
	}
	return rec, err
}

func validName(name []byte) bool { return len(name) > 0 && len(name) <= maxName }

// valid refuses what no correct caller asks for, and what is too large for this
// store, before it can spoil the transaction that it shares with others.
func valid(writes []store.Write) error {
	if err := store.CheckWrites(writes); err != nil {
		return err
	}
	for _, w := range writes {
		if len(w.Name) > maxName {
			return fmt.Errorf("a name of %d bytes is too long, the limit is %d", len(w.Name), maxName)
		}
		if n := len(w.Record.Sealed); n > maxSealed {
			return fmt.Errorf("%q: %d bytes are too many, the limit is %d", w.Name, n, maxSealed)
		}
	}
	return nil
}

// inOrder reports whether key may come after last, nil for none.
func inOrder(last, key []byte) bool { return last == nil || bytes.Compare(last, key) < 0 }
