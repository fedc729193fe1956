package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	canaryName = "meta/canary"
	clockName  = "meta/clock"
)

// checkSeal tells a wrong key from damage before anything is written: the canary
// is the first record of a store, and opens under the right key only.
func (b *Broker) checkSeal(ctx context.Context) error {
	rec, err := b.records.store.Get(ctx, canaryName)
	if errors.Is(err, store.ErrNotFound) {
		err := b.records.write(ctx, change{name: canaryName, generation: 1, plain: []byte("wxsidecar")})
		if errors.Is(err, store.ErrConflict) {
			return nil // another replica was faster
		}
		return err
	}
	if err != nil {
		return err
	}
	if _, err := b.records.seal.Open(canaryName, rec.Generation, rec.Sealed); errors.Is(err, seal.ErrWrongKey) {
		return errSealedOtherwise(err)
	}
	return nil // a damaged canary says nothing of the others
}

// errSealedOtherwise words a wrong key for the operator.
func errSealedOtherwise(err error) error {
	return fmt.Errorf("the store is sealed with another key than seal.key_file gives: %w", err)
}

type wireClock struct {
	SkewMillis int64 `json:"skew_ms"`
}

// recallSkew takes the skew that the last run measured until this one has its own.
func (b *Broker) recallSkew(ctx context.Context) {
	plain, _, err := b.records.read(ctx, clockName)
	var w wireClock
	if err == nil && plain != nil && json.Unmarshal(plain, &w) == nil {
		b.clock.Assume(time.Duration(w.SkewMillis) * time.Millisecond)
	}
}

func (b *Broker) saveSkew(skew time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	_, generation, err := b.records.read(ctx, clockName)
	if err != nil {
		return // it is measured again in every run
	}
	plain, err := json.Marshal(wireClock{SkewMillis: skew.Milliseconds()})
	if err == nil {
		_ = b.records.write(ctx, change{name: clockName, base: generation, generation: generation + 1, plain: plain})
	}
}
