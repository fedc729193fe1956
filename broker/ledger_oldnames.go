package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Earlier versions named an authorizer and the tickets for its pages by its appid alone,
// and the record said which component it had authorised.

// renamesAtOnce is how many of those records one write renames.
const renamesAtOnce = 500

// renaming gives records of an earlier version their names of today. It may be broken off
// anywhere, and goes on when it is done again.
type renaming struct {
	*ledger
	changes []change
	renamed []Key
	again   bool // another replica was faster with some
}

// renameOld renames all such records, and returns their names of today. Tickets of an
// appid that is an own account's stay: isOwn says so. Replicas that start at once may do
// it together: whoever comes second with a write looks at the end at what is left.
func (l *ledger) renameOld(ctx context.Context, isOwn func(appID string) bool) ([]Key, error) {
	todo := &renaming{ledger: l}
	for range conflictTries {
		todo.again = false
		if err := todo.all(ctx, isOwn); err != nil {
			return nil, fmt.Errorf("rename the records of an earlier version: %w", err)
		}
		if !todo.again {
			break
		}
	}
	return todo.renamed, nil
}

// all renames what is left.
func (t *renaming) all(ctx context.Context, isOwn func(appID string) bool) error {
	prefix := KindAuthorizer.String() + "/"
	var failed error
	err := t.list(ctx, prefix, func(name string, got opened) bool {
		if appID := strings.TrimPrefix(name, prefix); !strings.Contains(appID, "/") {
			failed = t.account(ctx, appID, got.plain, isOwn(appID))
		}
		return failed == nil && ctx.Err() == nil
	})
	if failed == nil {
		failed = err
	}
	if failed == nil {
		failed = t.flush(ctx)
	}
	return failed
}

// account renames one authorizer and its tickets. One whose record cannot be read stays:
// it may be sealed with another key, and WeChat's list brings the account back.
func (t *renaming) account(ctx context.Context, appID string, plain []byte, own bool) error {
	var w wireRecord
	if plain == nil || json.Unmarshal(plain, &w) != nil || w.Component == "" {
		return nil
	}
	keys := []Key{authorizerKey(w.Component, appID)}
	if !own {
		keys = append(keys, Key{KindJSAPITicket, appID, w.Component}, Key{KindWXCardTicket, appID, w.Component})
	}
	for _, key := range keys {
		if err := t.rename(ctx, key); err != nil {
			return err
		}
	}
	if len(t.changes) < renamesAtOnce {
		return nil
	}
	return t.flush(ctx)
}

// rename gives the record without a component the name of key. If there is one of that
// name too, as after an older version ran once more, the younger stays.
func (t *renaming) rename(ctx context.Context, key Key) error {
	old, oldVersion, err := t.load(ctx, Key{Kind: key.Kind, AppID: key.AppID})
	if err != nil || old.generation == 0 {
		return err
	}
	there, base, err := t.load(ctx, key)
	if err != nil {
		return err
	}
	t.changes = append(t.changes, deletion(Key{Kind: key.Kind, AppID: key.AppID}.String(), oldVersion))
	if !old.known() || there.known() && !old.lastChanged().After(there.lastChanged()) {
		return nil
	}
	old.generation = max(old.generation, there.generation+1)
	c, err := recordChange(key, base, old)
	t.changes, t.renamed = append(t.changes, c), append(t.renamed, key)
	return err
}

func (t *renaming) flush(ctx context.Context) error {
	if len(t.changes) == 0 {
		return nil
	}
	err := t.write(ctx, t.changes...)
	t.changes = nil
	if errors.Is(err, store.ErrConflict) {
		t.again = true
		return nil
	}
	return err
}
