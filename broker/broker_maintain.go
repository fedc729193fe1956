package broker

import (
	"context"
	"time"
)

const (
	// useSlack is how far the stored date of a key's last use may lag behind. A
	// restart takes from it which keys are in use and so renewed ahead.
	useSlack = time.Hour
	// useSlackAtEnd is the same when the broker ends in an orderly way.
	useSlackAtEnd = 5 * time.Minute
	usesAtOnce    = 500
	// A store that refuses at the end is given two seconds: what it does not take by then
	// is lost with the process.
	savesAtEnd = 10
	saveAgain  = 200 * time.Millisecond
)

// maintain does what is done now and then, until ctx ends.
func (b *Broker) maintain(ctx context.Context) {
	var purged, counted time.Time
	for {
		b.saveUnsaved(ctx)
		b.ledger.endRefusal()
		b.env.showSkew()
		now := b.env.clock.Now()
		if now.Sub(counted) > time.Minute {
			b.saveUses(ctx, useSlack)
			counted = now
		}
		if now.Sub(purged) > time.Hour {
			b.inbox.purgeExchanges(ctx)
			purged = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// saveUnsaved tries again to save what the store did not take.
func (b *Broker) saveUnsaved(ctx context.Context) {
	if b.ledger.saveUnsaved(ctx) == nil {
		b.inbox.saveCodes(ctx)
	}
}

// saveUses saves some dates of last uses, and reports whether there may be more.
func (b *Broker) saveUses(ctx context.Context, slack time.Duration) (more bool) {
	uses := b.table.staleUses(slack, usesAtOnce)
	return len(uses) > 0 && b.ledger.saveUses(ctx, uses) && len(uses) == usesAtOnce
}

// saveAtEnd writes what the store does not know yet, for a few seconds at most.
func (b *Broker) saveAtEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for range savesAtEnd {
		b.saveUnsaved(ctx)
		if !b.ledger.hasUnsaved() {
			break
		}
		time.Sleep(saveAgain)
	}
	for b.saveUses(ctx, useSlackAtEnd) && ctx.Err() == nil {
		continue
	}
}

// observeDate takes the Date of an answer of WeChat's.
func (b *Broker) observeDate(date, sent, received time.Time) {
	if b.table.moveClock(date, sent, received) {
		skew, _ := b.env.clock.Offset()
		b.env.log.Warn("our clock is not WeChat's; the difference is allowed for", "wechat_ahead_by", skew)
		b.ledger.saveSkew(skew)
		b.table.wakeUp()
	}
	b.env.showSkew()
}
