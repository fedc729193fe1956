package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// noteDoubtful finds the authorizers that are held but not listed, as the news that
// they went may have been lost, and those that are listed without a refresh token.
// [Broker.askDoubtful] asks about them: there may be many, and whoever waits for
// the list does not wait for that.
func (b *Broker) noteDoubtful(ctx context.Context, c *component, seen map[string]struct{}, started time.Time) error {
	var gone, bare []string
	err := b.records.each(ctx, KindAuthorizer, func(key Key, r *record) bool {
		_, listed := seen[key.AppID]
		switch {
		case key.Component != c.appID || !r.known() || r.verdict != StateUnknown:
		case !listed && r.authorized.Before(started):
			gone = append(gone, key.AppID)
		case listed && r.refreshToken.IsZero():
			bare = append(bare, key.AppID)
		}
		return true
	})
	b.mu.Lock()
	c.listing.doubtful = append(gone, bare...)
	b.mu.Unlock()
	b.attend(c.appID)
	return err
}

// askDoubtful asks about each authorizer that the last list left in doubt, and
// returns when to look again. What an error leaves over is asked for later; a list
// that is wanted meanwhile comes first, and finds out anew who is in doubt.
func (b *Broker) askDoubtful(ctx context.Context, c *component) time.Duration {
	for {
		b.mu.Lock()
		left, wanted := c.listing.doubtful, c.listing.wanted
		b.mu.Unlock()
		if len(left) == 0 {
			return listInterval
		}
		if wanted || b.isPaused() {
			return time.Minute // the list's end, or WeChat's return, wakes us
		}
		now, reset := b.clock.Now(), b.resets.Load()
		if wait := c.askAt.Sub(now); wait > 0 && c.askReset == reset {
			return wait
		}
		err := b.askInfo(ctx, c, left[0])
		if wechat.Code(err) == wechat.CodeQuotaExhausted {
			wait := b.untilQuotaProbe()
			c.askAt, c.askReset = now.Add(wait), reset
			return wait
		}
		var silent *wechat.NoAnswerError
		if errors.As(err, &silent) {
			b.pause(silent)
		}
		next := left[1:]
		if err != nil {
			next = append(slices.Clone(next), left[0]) // it may be the only one in trouble
		}
		b.mu.Lock()
		if now := c.listing.doubtful; len(now) == len(left) && now[0] == left[0] {
			c.listing.doubtful = next
		}
		b.mu.Unlock()
		if err != nil {
			b.log.Warn("an authorizer could not be asked about; it is tried again", "component", c.appID, "authorizer", left[0], "error", err)
			return time.Minute
		}
	}
}

// askInfo asks for one account that the list leaves in doubt, under the rate
// limit, and stores what it says.
func (b *Broker) askInfo(ctx context.Context, c *component, appID string) error {
	if err := b.pace(ctx); err != nil {
		return err
	}
	key := authorizerKey(c.appID, appID)
	info, err := b.confirmedInfo(ctx, key)
	switch {
	case wechat.Code(err) == wechat.CodeNotAuthorized:
		return b.revoke(ctx, key, b.clock.Now(), err.Error())
	case wechat.Code(err) == wechat.CodeQuotaExhausted:
		return err
	case wechat.Code(err) != 0:
		b.log.Warn("WeChat says nothing of an authorizer", "component", c.appID, "authorizer", appID, "error", err)
		return nil // one account's trouble is not the list's
	case err != nil:
		return err
	case info.RefreshToken.IsZero():
		return nil
	}
	_, err = b.update(ctx, key, func(r *record) bool {
		if !r.known() || !r.refreshToken.IsZero() {
			return false
		}
		r.refreshToken = info.RefreshToken
		return true
	})
	if errors.Is(err, errUnsaved) {
		return nil // memory knows it, and has it saved
	}
	return err
}
