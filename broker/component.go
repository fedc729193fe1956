package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// component is one configured third-party platform: its tickets, and the list of its
// authorizers. One goroutine looks after both. It is safe for concurrent use.
type component struct {
	*env
	table     *table
	ledger    *ledger
	directory *directory

	appID  string
	wake   chan struct{}                // capacity 1, for run
	listed chan struct{}                // closed once the list has been read, in this run or before
	push   atomic.Pointer[refusedPush]  // the last that was not taken; nil for none
	stray  *atomic.Pointer[refusedPush] // that may have been for any component
	record platform
	list   listing

	// mu guards what follows. No other part is called under it, unlike under that of record.
	mu         sync.Mutex
	start      ticketStart
	listWanted bool // the list is to be read, whenever it was read last
	stop       context.CancelFunc
}

// newComponent returns a component with what the store has of it.
func newComponent(ctx context.Context, d *directory, stray *atomic.Pointer[refusedPush], appID string) (*component, error) {
	c := &component{
		env: d.env, table: d.table, ledger: d.ledger, directory: d, stray: stray,
		appID: appID, wake: make(chan struct{}, 1), listed: make(chan struct{}),
		record: platform{ledger: d.ledger, name: platformPrefix + appID},
		list:   listing{turn: make(chan struct{}, 1)},
	}
	p, err := c.record.open(ctx)
	if err == nil && !p.listed.IsZero() {
		close(c.listed)
	}
	return c, err
}

func (c *component) key() Key { return componentKey(c.appID) }

func (c *component) secret() secret.Text { return c.config.Load().secrets[c.key()] }

// wakeUp has run look again: are its tickets coming, is its list read? It never blocks.
func (c *component) wakeUp() { notify(c.wake) }

// begin starts run, unless it runs.
func (c *component) begin(ctx context.Context, tasks *sync.WaitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		return
	}
	ctx, c.stop = context.WithCancel(ctx)
	tasks.Go(func() { c.run(ctx) })
}

// end ends run, if it runs.
func (c *component) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

func (c *component) run(ctx context.Context) {
	for {
		wait := min(c.startPush(ctx), c.readList(ctx))
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-time.After(max(wait, time.Second)):
		}
	}
}

// answered lets what was put off go on, as WeChat answers again.
func (c *component) answered(outage bool) {
	if outage {
		c.retryStartUnanswered()
	}
	c.wakeUp()
}

// info asks for what WeChat has on record of an account, and what its refresh token is.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerInfo.html
func (c *component) info(ctx context.Context, appID string) (wechat.Authorizer, error) {
	return withToken(c.table, c.key(), "api_get_authorizer_info "+appID, func(token secret.Text) (wechat.Authorizer, error) {
		return c.wechat.AuthorizerInfo(ctx, c.appID, token, appID)
	})
}

// confirmedInfo is info, but asks once more where WeChat says that the account is not
// authorised: that may be a slip.
func (c *component) confirmedInfo(ctx context.Context, appID string) (wechat.Authorizer, error) {
	info, err := c.info(ctx, appID)
	if wechat.Code(err) == wechat.CodeNotAuthorized {
		return c.info(ctx, appID)
	}
	return info, err
}

// preAuthCode asks for a code with which one merchant is sent to WeChat's authorization
// page.
func (c *component) preAuthCode(ctx context.Context) (wechat.Grant, error) {
	return awaitToken(ctx, c, func() (wechat.Grant, error) {
		return withToken(c.table, c.key(), "api_create_preauthcode", func(token secret.Text) (wechat.Grant, error) {
			return c.wechat.PreAuthCode(ctx, c.appID, token)
		})
	})
}

// awaitToken waits for the component's token and makes a call with it. If WeChat finds the
// token stale it waits for the next one and makes the call once more.
func awaitToken[T any](ctx context.Context, c *component, call func() (T, error)) (T, error) {
	var none T
	for range 2 {
		if _, err := c.directory.tokenAfter(ctx, c.key(), 0); err != nil {
			return none, err
		}
		got, err := call()
		var blocked *blockedError
		if !errors.As(err, &blocked) {
			return got, err
		}
	}
	return none, c.table.stateError(c.key())
}

// follow has the keys and the directory follow what was merged into records.
func (c *component) follow(m merged) {
	for _, key := range m.revived {
		c.table.change(key, event{kind: eventAuthorized}, when{as: asDue})
	}
	if m.changed {
		c.directory.changed()
	}
}
