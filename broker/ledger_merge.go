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

// mergePage brings the records of the component's authorizers up to one page of the list
// that was asked for at started, in one write. With an error that wraps errUnsaved memory
// has it.
func (l *ledger) mergePage(ctx context.Context, component string, page []wechat.Authorizer, started time.Time) (merged, error) {
	m, conflict, err := l.mergeAtOnce(ctx, component, page, started)
	if err != nil || !conflict {
		return m, err
	}
	m = merged{}
	var unsaved error
	for _, a := range page { // another replica was faster with one of them
		one, err := l.mergeOne(ctx, component, a, started)
		m.changed, m.revived = m.changed || one.changed, append(m.revived, one.revived...)
		switch {
		case errors.Is(err, errUnsaved):
			unsaved = err
		case err != nil:
			return m, err
		}
	}
	return m, unsaved
}

// mergeOne is mergePage for what WeChat, asked at that time, showed of one account.
func (l *ledger) mergeOne(ctx context.Context, component string, a wechat.Authorizer, asked time.Time) (merged, error) {
	key := authorizerKey(component, a.AppID)
	var m merged
	var before record
	rec, err := l.update(ctx, key, func(r *record) bool {
		before = *r
		return r.merge(a, asked)
	})
	if rec != nil {
		m.add(key, &before, rec)
	}
	return m, err
}

func (l *ledger) mergeAtOnce(ctx context.Context, component string, page []wechat.Authorizer, started time.Time) (m merged, conflict bool, err error) {
	keys := make([]Key, len(page))
	for i, a := range page {
		keys[i] = authorizerKey(component, a.AppID)
	}
	defer l.locks.all(keys)()
	var changes []change
	next := map[Key]*record{}
	for i, key := range keys {
		cur, base, err := l.currentLocked(ctx, key, l.memory.inUse(key))
		if err != nil {
			return m, false, err
		}
		rec := *cur
		if next[key] != nil || !rec.merge(page[i], started) {
			continue
		}
		m.add(key, cur, &rec)
		c, err := recordChange(key, base, &rec)
		if err != nil {
			return m, false, err
		}
		changes, next[key] = append(changes, c), &rec
	}
	if len(changes) == 0 {
		return m, false, nil
	}
	why := l.write(ctx, changes...)
	if errors.Is(why, store.ErrConflict) {
		return m, true, nil
	}
	for key, rec := range next {
		if s := l.memory.inUse(key); why != nil {
			err = l.keepUnsavedLocked(key, s, rec, why)
		} else {
			l.noteSavedLocked(key, s)
			l.adoptLocked(key, s, rec)
		}
	}
	return m, false, err
}
