package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// listLease is for how long one sidecar may read a page of the list while the others read none.
const listLease = 30 * time.Second

// readToEnd reads the list to its end and merges it into the store, unless another sidecar
// has just done so, and then all that it found is in the store. The turn is the caller's.
func (c *component) readToEnd(ctx context.Context) error {
	lease, err := c.lease(ctx, "list/"+c.appID, store.LeaseOptions{For: listLease})
	var held *store.HeldError
	if errors.As(err, &held) {
		return errListTaken
	}
	if err != nil {
		return fmt.Errorf("take the lease of the list of authorizers: %w", err)
	}
	defer lease.Unlock()
	if c.readElsewhere(ctx) {
		return nil
	}
	return c.readLeased(ctx, lease)
}

// readElsewhere reports whether another sidecar read the list just now, and notes it.
func (c *component) readElsewhere(ctx context.Context) bool {
	l := &c.list
	listed := c.record.load(ctx).listed
	if c.coordination == nil || !listed.After(l.started) || c.clock.Now().Sub(listed).Abs() >= l.memory() {
		return false
	}
	l.finished, l.fails, l.retryAt = listed, 0, time.Time{}
	c.mu.Lock()
	c.listWanted = false
	c.mu.Unlock()
	c.markListed()
	return true
}

func (c *component) readLeased(ctx context.Context, lease store.Lease) error {
	l := &c.list
	now, reset := c.clock.Now(), c.resets.Load()
	if l.seen == nil || now.Sub(l.paged) > listPatience {
		l.offset, l.skipped, l.unsaved, l.seen, l.started = 0, 0, false, map[string]struct{}{}, now
	}
	l.show(ListInfo{Reading: true, ReadAt: shownTime(l.finished), Accounts: l.offset, Total: l.info().Total})
	err := c.readPages(ctx, lease)
	c.table.pauseFor(err)
	if err != nil {
		l.fails++
		l.retryAt = c.clock.Now().Add(c.pauseAfter(err, l.fails))
		l.reset = reset
		c.metrics.Reconciliation("error")
		c.list.showFailure(err, c.clock.Now())
		c.log.Warn("the list of authorizers could not be read to its end; it goes on later", "component", c.appID, "offset", l.offset, "error", err)
		return err
	}
	seen, started := l.seen, l.started
	l.seen, l.fails, l.retryAt, l.finished = nil, 0, time.Time{}, c.clock.Now()
	l.show(ListInfo{ReadAt: shownTime(l.finished), Accounts: l.offset, Total: l.offset})
	c.metrics.Reconciliation("ok")
	c.noteListed(ctx, started)
	return c.renewUnclear(ctx, seen, started)
}

func (c *component) readPages(ctx context.Context, lease store.Lease) error {
	l := &c.list
	for {
		if lease.Left() < listLease/2 {
			if err := lease.Extend(ctx); err != nil {
				return err
			}
		}
		page, err := withToken(c.table, c.key(), "api_get_authorizer_list", func(token secret.Text) (wechat.Page, error) {
			return c.wechat.AuthorizerList(ctx, c.appID, token, l.offset)
		})
		if err != nil {
			return err
		}
		m, err := c.ledger.mergePage(ctx, c.appID, page.Authorizers, l.started)
		c.follow(m)
		if err != nil && !errors.Is(err, errUnsaved) {
			return err
		}
		l.unsaved = l.unsaved || err != nil
		for _, a := range page.Authorizers {
			l.seen[a.AppID] = struct{}{}
		}
		c.metrics.ListItemsSkipped(page.Skipped)
		l.skipped += page.Skipped
		l.offset += page.Len()
		l.paged = c.clock.Now()
		l.show(ListInfo{Reading: true, ReadAt: shownTime(l.finished), Accounts: l.offset, Total: page.Total})
		if page.Len() == 0 || l.offset >= page.Total {
			return nil
		}
	}
}
