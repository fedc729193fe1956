package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// errSpent says that there is no code that could be exchanged.
var errSpent = errors.New("no authorization code")

// codeIsNoUse reports whether err means that the code will never be exchanged: it
// is spent or too old, or the merchant has taken the authorization back meanwhile,
// which the account's info is to confirm.
func codeIsNoUse(err error) bool {
	switch wechat.Code(err) {
	case wechat.CodeCodeInvalid, wechat.CodeCodeExpired, wechat.CodeNotAuthorized:
		return true
	default:
		return errors.Is(err, errSpent)
	}
}

// recover asks for the account's info in place of a code that is spent: perhaps by us,
// just before a crash.
func (x *inbox) recover(ctx context.Context, item inboxItem) error {
	c := x.components.get(item.Component)
	if c == nil {
		return &blockedError{on: componentKey(item.Component)} // configured no longer
	}
	if item.AppID == "" {
		c.reconcile()
		return nil
	}
	asked := x.clock.Now()
	info, err := c.confirmedInfo(ctx, item.AppID)
	if wechat.Code(err) == wechat.CodeNotAuthorized {
		return nil // taken back meanwhile
	}
	if err != nil {
		return err
	}
	changed := false
	_, err = x.ledger.update(ctx, item.key(), func(r *record) bool {
		created := moment(item.Created)
		same := r.refreshToken.Equal(info.RefreshToken) && r.known() && r.verdict == StateUnknown
		if same || r.verdict == StateUnauthorized && r.judged.After(created) {
			return false
		}
		r.generation++
		r.authorized = created
		r.learnRefreshToken(info.RefreshToken, asked)
		r.judge(StateUnknown, time.Time{}, "", 0)
		changed = true
		return true
	})
	if changed {
		x.authorized(item.key())
	}
	return err
}

// authorized has everybody follow a new authorization of key.
func (x *inbox) authorized(key Key) {
	x.directory.changed()
	x.table.change(key, event{kind: eventAuthorized}, when{as: asDue})
	x.markDone(key)
}
