package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// vaultPrefix begins the names of what is kept for others; no key is called so.
const vaultPrefix = "meta/"

// Keep returns the bytes kept under name in the store, sealed, so that all
// sidecars on one store get the same ones. The name begins with "meta/".
//
// renew is called with what is kept, nil for nothing, and returns what is to be
// kept instead, or nil to leave it. What another sidecar was faster to keep is
// offered to renew again. The caller owns the bytes.
func (b *Broker) Keep(ctx context.Context, name string, renew func(kept []byte) ([]byte, error)) ([]byte, error) {
	if !strings.HasPrefix(name, vaultPrefix) {
		return nil, fmt.Errorf("keep %q: the name must begin with %s", name, vaultPrefix)
	}
	for range conflictTries {
		kept, generation, err := b.records.read(ctx, name)
		if err != nil {
			return nil, err
		}
		wanted, err := renew(kept)
		if err != nil {
			return nil, fmt.Errorf("keep %s: %w", name, err)
		}
		if wanted == nil {
			return kept, nil
		}
		err = b.records.write(ctx, change{name: name, base: generation, generation: generation + 1, plain: wanted})
		if err == nil {
			return wanted, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("keep %s in the store: %w", name, err)
		}
	}
	return nil, outpaced(name)
}
