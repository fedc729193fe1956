package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// mergePage brings the store up to one page of the list, in one write. With an error
// that wraps errUnsaved memory has it.
func (b *Broker) mergePage(ctx context.Context, appID string, page []wechat.Authorizer, started time.Time) error {
	keys := make([]Key, len(page))
	for i, a := range page {
		keys[i] = authorizerKey(appID, a.AppID)
	}
	conflict, err := b.mergeLocked(ctx, keys, page, started)
	if err != nil || !conflict {
		return err
	}
	var unsaved error
	for _, a := range page { // another replica was faster with one of them
		switch err := b.mergeOne(ctx, appID, a, started); {
		case errors.Is(err, errUnsaved):
			unsaved = err
		case err != nil:
			return err
		}
	}
	return unsaved
}

// mergeOne brings the store up to what WeChat, asked at that time, showed of one
// account.
func (b *Broker) mergeOne(ctx context.Context, component string, a wechat.Authorizer, asked time.Time) error {
	key := authorizerKey(component, a.AppID)
	var before record
	rec, err := b.update(ctx, key, func(r *record) bool {
		before = *r
		return merge(r, a, asked)
	})
	if rec == nil || before.known() == rec.known() && before.verdict == rec.verdict {
		return err
	}
	if revived(&before, rec) {
		b.follow(key, event{what: happenedAuthorized})
	}
	b.directory.changed()
	return err
}

// revived reports whether what was merged into a record ended the verdict against the
// key. It is pure.
func revived(before, after *record) bool {
	return before.verdict != StateUnknown && after.verdict == StateUnknown
}

func (b *Broker) mergeLocked(ctx context.Context, keys []Key, page []wechat.Authorizer, started time.Time) (conflict bool, err error) {
	defer b.locks.all(keys)()
	var changes []change
	changed := map[Key]*record{}
	var back []Key // revived
	for i, a := range page {
		e := b.inMemory(keys[i])
		cur, base, err := b.current(ctx, keys[i], e)
		if err != nil {
			return false, err
		}
		next := *cur
		if changed[keys[i]] != nil || !merge(&next, a, started) {
			continue
		}
		c, err := b.records.change(keys[i], base, &next)
		if err != nil {
			return false, err
		}
		changes, changed[keys[i]] = append(changes, c), &next
		if revived(cur, &next) {
			back = append(back, keys[i])
		}
	}
	if len(changes) == 0 {
		return false, nil
	}
	why := b.records.write(ctx, changes...)
	if errors.Is(why, store.ErrConflict) {
		return true, nil
	}
	for key, rec := range changed {
		if e := b.inMemory(key); why != nil {
			err = b.keepUnsaved(key, e, rec, why)
		} else {
			b.saved(e)
			b.adopt(e, rec)
		}
	}
	for _, key := range back {
		b.follow(key, event{what: happenedAuthorized})
	}
	b.directory.changed()
	return false, err
}

// merge brings r up to what the list, asked for at started, says of an account,
// and reports whether that changed it. It is pure. A refresh token that we hold is
// never replaced unless the merchant authorised again since: ours came last. What
// the list shows is kept beside it.
func merge(r *record, a wechat.Authorizer, started time.Time) bool {
	again := a.AuthorizedAt.After(r.authorized)
	switch {
	case r.verdict == StateUnauthorized:
		if r.judged.After(started) {
			return false // taken back while the list was read
		}
		r.forget()
		r.generation++ // a renewal under way is of what is forgotten
	case r.known() && !again && !r.refreshToken.IsZero():
		if a.RefreshToken.IsZero() || a.RefreshToken.Equal(r.refreshToken) || a.RefreshToken.Equal(r.spare) || r.obtained.After(started) {
			return false
		}
		r.spare = a.RefreshToken
		if r.verdict == StateNeedsAuthorization {
			r.judge(StateUnknown, time.Time{}, "", 0)
		}
		return true
	case r.known() && a.RefreshToken.IsZero() && !again:
		return false // known, and no news
	}
	if r.learnRefreshToken(a.RefreshToken, started) {
		r.judge(StateUnknown, time.Time{}, "", 0)
	}
	if again {
		r.authorized = a.AuthorizedAt
	}
	if r.generation == 0 {
		r.generation = 1
	}
	return true
}
