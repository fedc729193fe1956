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

// canaryText says that the records have the names of today; an earlier version wrote
// another one.
const canaryText = "wxsidecar 2"

// checkSeal tells a wrong key from damage before anything is written: the canary opens
// under the right key only. It returns the version of the canary and
// whether its text is that of today. A damaged canary says nothing of the others.
func (l *ledger) checkSeal(ctx context.Context) (version store.Version, current bool, err error) {
	rec, err := l.store.Get(ctx, canaryName)
	if errors.Is(err, store.ErrNotFound) {
		return version, false, nil
	}
	if err != nil {
		return version, false, err
	}
	plain, err := l.seal.Open(canaryName, rec.Generation, rec.Sealed)
	if errors.Is(err, seal.ErrWrongKey) {
		return version, false, errSealedOtherwise(err)
	}
	return rec.Version(), string(plain) == canaryText, nil
}

// open makes sure of the seal's key and of the names of the records, and takes the skew
// of the clocks that the last run measured.
func (l *ledger) open(ctx context.Context, isOwn func(appID string) bool) error {
	version, current, err := l.checkSeal(ctx)
	if err != nil {
		return err
	}
	defer l.recallSkew(ctx)
	if current {
		return nil
	}
	if _, err := l.renameOld(context.WithoutCancel(ctx), isOwn); err != nil {
		return err
	}
	err = l.write(ctx, change{name: canaryName, base: version, generation: version.Generation + 1, plain: []byte(canaryText)})
	if errors.Is(err, store.ErrConflict) {
		return nil // another replica was faster
	}
	return err
}

// errSealedOtherwise words a wrong key for the operator.
func errSealedOtherwise(err error) error {
	return fmt.Errorf("the store is sealed with another key than seal.key_file gives: %w", err)
}

type wireClock struct {
	SkewMillis int64 `json:"skew_ms"`
}

// recallSkew takes the skew that the last run measured until this one has its own.
func (l *ledger) recallSkew(ctx context.Context) {
	got, err := l.read(ctx, clockName)
	var w wireClock
	if err == nil && got.plain != nil && json.Unmarshal(got.plain, &w) == nil {
		l.clock.Assume(time.Duration(w.SkewMillis) * time.Millisecond)
	}
}

func (l *ledger) saveSkew(skew time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	got, err := l.read(ctx, clockName)
	if err != nil {
		return // it is measured again in every run
	}
	plain, err := json.Marshal(wireClock{SkewMillis: skew.Milliseconds()})
	if err == nil {
		_ = l.write(ctx, change{name: clockName, base: got.version, generation: got.version.Generation + 1, plain: plain})
	}
}
