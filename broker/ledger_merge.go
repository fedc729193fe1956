package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// merged is what came of bringing records up to what WeChat shows.
type merged struct {
	changed bool  // who is an authorizer, or of whom the authorization is in force
	revived []Key // whose verdict was ended
}

func (m *merged) add(key Key, before, after *record) {
	if before.known() != after.known() || before.verdict != after.verdict {
		m.changed = true
	}
	if before.verdict != StateUnknown && after.verdict == StateUnknown {
		m.revived = append(m.revived, key)
	}
}

// mergePage brings the records of the component's authorizers up to what WeChat, asked at
// that time, showed of them, in one write. With an error that wraps errUnsaved memory has
// it.
func (l *ledger) mergePage(ctx context.Context, component string, page []wechat.Authorizer, asked time.Time) (merged, error) {
	keys := make([]Key, len(page))
	for i, a := range page {
		keys[i] = authorizerKey(component, a.AppID)
	}
	defer l.locks.all(keys)()
	for range conflictTries {
		m, err := l.mergePageLocked(ctx, keys, page, asked)
		if !errors.Is(err, store.ErrConflict) {
			return m, err
		}
	}
	return merged{}, outpaced("the authorizers of " + component)
}

// mergePageLocked is mergePage with the keys' locks held. It returns store.ErrConflict
// where another replica was faster with one of them.
func (l *ledger) mergePageLocked(ctx context.Context, keys []Key, page []wechat.Authorizer, asked time.Time) (m merged, err error) {
	all, err := l.loadEach(ctx, keys)
	if err != nil {
		return m, err
	}
	var changes []change
	next := map[Key]*record{}
	for i, key := range keys {
		cur := l.inForceOfLocked(key, l.memory.inUse(key), all[key].rec)
		rec := *cur
		if next[key] != nil || !rec.merge(page[i], asked) {
			continue
		}
		m.add(key, cur, &rec)
		c, err := recordChange(key, all[key].base, &rec)
		if err != nil {
			return m, err
		}
		changes, next[key] = append(changes, c), &rec
	}
	if len(changes) == 0 {
		return m, nil
	}
	why := l.write(ctx, changes...)
	if errors.Is(why, store.ErrConflict) {
		return m, why
	}
	for key, rec := range next {
		if why != nil {
			err = l.keepUnsavedLocked(key, rec, why)
		} else {
			s := l.memory.inUse(key)
			l.noteSavedLocked(key, s)
			l.adoptLocked(key, s, rec)
		}
	}
	return m, err
}
