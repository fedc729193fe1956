package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"strings"
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

// keep returns the change that keeps an exchange.
func keep(name string, answer []byte, expires time.Time) (change, error) {
	plain, err := json.Marshal(keptExchange{Answer: answer, Expires: millis(expires)})
	return change{name: name, generation: 1, plain: plain}, err
}

// keptExchange returns the answer that was kept under that name, if its code has not
// come to its end.
func (b *Broker) keptExchange(ctx context.Context, name string) ([]byte, bool) {
	plain := b.exchanges.unsavedAnswer(name)
	if plain == nil {
		plain, _, _ = b.records.read(ctx, name)
	}
	var kept keptExchange
	if plain == nil || json.Unmarshal(plain, &kept) != nil {
		return nil, false
	}
	return kept.Answer, b.clock.Now().Before(moment(kept.Expires))
}

// keepUnsaved keeps an exchange in memory, as the store did not take it.
func (x *exchanges) keepUnsaved(c change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.unsaved == nil {
		x.unsaved = map[string]change{}
	}
	x.unsaved[c.name] = c
}

func (x *exchanges) unsavedAnswer(name string) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.unsaved[name].plain
}

// forgetUnsaved lets go of those whose codes have come to their end.
func (x *exchanges) forgetUnsaved(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.unsaved, func(_ string, c change) bool {
		var kept keptExchange
		return json.Unmarshal(c.plain, &kept) != nil || now.After(moment(kept.Expires))
	})
}

// saveCodes tries again to save the exchanges that the store did not take.
func (b *Broker) saveCodes(ctx context.Context) {
	b.exchanges.mu.Lock()
	waiting := maps.Clone(b.exchanges.unsaved)
	b.exchanges.mu.Unlock()
	for name, c := range waiting {
		if err := b.records.write(ctx, c); err != nil && !errors.Is(err, store.ErrConflict) {
			return
		}
		b.exchanges.mu.Lock()
		delete(b.exchanges.unsaved, name)
		b.exchanges.mu.Unlock()
	}
}

// purgeExchanges deletes exchanges whose codes have come to their end.
func (b *Broker) purgeExchanges(ctx context.Context) {
	var gone []change
	now := b.clock.Now()
	_ = b.records.list(ctx, codePrefix, func(name string, generation uint64, plain []byte) bool {
		var kept keptExchange
		if plain == nil || json.Unmarshal(plain, &kept) != nil || now.After(moment(kept.Expires)) {
			gone = append(gone, change{name: name, base: generation, generation: generation})
		}
		return true
	})
	b.exchanges.forgetUnsaved(now)
	for _, c := range gone {
		if err := b.records.write(ctx, c); err != nil && !errors.Is(err, store.ErrConflict) {
			b.log.Warn("an exchange that has ended could not be deleted", "record", strings.TrimPrefix(c.name, codePrefix), "error", err)
			return
		}
	}
}
