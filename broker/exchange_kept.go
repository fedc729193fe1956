package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const codePrefix = "code/"

// keptExchange is an exchange that was made, kept until its code's own end: a code
// works once, and both the app and we may come to exchange it. It is sealed.
type keptExchange struct {
	Answer  []byte `json:"answer"`
	Expires int64  `json:"expires"`
}

// codeName names a code without showing it.
func codeName(component string, code secret.Text) string {
	sum := sha256.Sum256([]byte(code.Reveal()))
	return codePrefix + component + "/" + hex.EncodeToString(sum[:16])
}

// keptChange returns the change that keeps an exchange.
func keptChange(name string, answer []byte, expires time.Time) (change, error) {
	plain, err := json.Marshal(keptExchange{Answer: answer, Expires: millis(expires)})
	return change{name: name, generation: 1, plain: plain}, err
}

// kept returns the answer that was kept under that name, if its code has not come to its
// end.
func (x *inbox) kept(ctx context.Context, name string) ([]byte, bool) {
	plain := x.unsavedAnswer(name)
	if plain == nil {
		got, _ := x.ledger.read(ctx, name)
		plain = got.plain
	}
	var kept keptExchange
	if plain == nil || json.Unmarshal(plain, &kept) != nil {
		return nil, false
	}
	return kept.Answer, x.clock.Now().Before(moment(kept.Expires))
}

// keepUnsaved keeps an exchange in memory, as the store did not take it.
func (x *inbox) keepUnsaved(c change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unsaved[c.name] = c
}

func (x *inbox) unsavedAnswer(name string) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.unsaved[name].plain
}

// forgetUnsaved lets go of those whose codes have come to their end.
func (x *inbox) forgetUnsaved(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.unsaved, func(_ string, c change) bool {
		var kept keptExchange
		return json.Unmarshal(c.plain, &kept) != nil || now.After(moment(kept.Expires))
	})
}

// saveCodes tries again to save the exchanges that the store did not take.
func (x *inbox) saveCodes(ctx context.Context) {
	x.mu.Lock()
	waiting := maps.Clone(x.unsaved)
	x.mu.Unlock()
	for name, c := range waiting {
		if err := x.ledger.write(ctx, c); err != nil && !errors.Is(err, store.ErrConflict) {
			return
		}
		x.mu.Lock()
		delete(x.unsaved, name)
		x.mu.Unlock()
	}
}

// purgeExchanges deletes exchanges whose codes have come to their end.
func (x *inbox) purgeExchanges(ctx context.Context) {
	var gone []change
	now := x.clock.Now()
	_ = x.ledger.list(ctx, codePrefix, func(name string, got opened) bool {
		var kept keptExchange
		if got.plain == nil || json.Unmarshal(got.plain, &kept) != nil || now.After(moment(kept.Expires)) {
			gone = append(gone, deletion(name, got.version))
		}
		return true
	})
	x.forgetUnsaved(now)
	x.ledger.deleteAll(ctx, gone)
}
