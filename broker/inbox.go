package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	inboxPrefix = "inbox/"
	// inboxPatience is after how long an authorization that WeChat refuses to tell
	// more of is given up; the list of authorizers brings it back if it is real.
	inboxPatience = 24 * time.Hour
)

// inboxItem is an authorization event that was answered and is not done yet. It
// is sealed like every record. Times are milliseconds since 1970.
type inboxItem struct {
	Component string `json:"component"`
	AppID     string `json:"appid,omitempty"`
	Code      string `json:"code,omitempty"`
	Expires   int64  `json:"expires,omitempty"`
	Created   int64  `json:"created"`
}

func (i inboxItem) encode() ([]byte, error) { return json.Marshal(i) }

func (i inboxItem) key() Key { return authorizerKey(i.Component, i.AppID) }

func (i inboxItem) code() secret.Text { return secret.New(i.Code) }

// inboxName sorts by time, and is the same for a repeat.
func inboxName(component string, created time.Time, id string) string {
	return fmt.Sprintf("%s%s/%013d-%s", inboxPrefix, component, millis(created), id)
}

// readInbox wakes the inbox. It never blocks.
func (b *Broker) readInbox() {
	select {
	case b.mail <- struct{}{}:
	default:
	}
}

// comes notes that the authorization of key lies in the inbox.
func (b *Broker) comes(key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if key.AppID != "" && b.coming[key] == nil {
		b.coming[key] = make(chan struct{})
	}
}

// came ends the wait of those who call for key.
func (b *Broker) came(key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done := b.coming[key]; done != nil {
		close(done)
		delete(b.coming, key)
	}
}

// attempts is what memory knows of an item that failed. after is by our own clock,
// which no measured skew moves; it holds until the next of Broker.resets.
type attempts struct {
	failed int
	after  time.Time
	reset  uint64
	// unsaved: what the item asks for is done, and memory has what came of it; the
	// item waits for the store.
	unsaved bool
}

// workInbox is the body of the goroutine that does what answered events ask for,
// those of an earlier run first.
func (b *Broker) workInbox(ctx context.Context) {
	tried := map[string]attempts{}
	for {
		wait := b.emptyInbox(ctx, tried)
		select {
		case <-ctx.Done():
			return
		case <-b.mail:
		case <-time.After(wait):
		}
	}
}

// emptyInbox tries each item that is due and returns when to come back.
func (b *Broker) emptyInbox(ctx context.Context, tried map[string]attempts) time.Duration {
	if b.isPaused() {
		return probeInterval
	}
	type pending struct {
		name       string
		generation uint64
		item       inboxItem
	}
	var items []pending
	err := b.records.list(ctx, inboxPrefix, func(name string, generation uint64, plain []byte) bool {
		var item inboxItem
		if plain != nil && json.Unmarshal(plain, &item) == nil {
			items = append(items, pending{name, generation, item})
			b.comes(item.key())
		}
		return ctx.Err() == nil
	})
	wait := time.Minute
	if err != nil {
		b.log.Error("the inbox cannot be read; authorizations wait", "error", err)
		return wait
	}
	reset := b.resets.Load()
	for _, p := range items {
		now := b.clock.Local()
		t := tried[p.name]
		if left := t.after.Sub(now); left > 0 && t.reset == reset {
			wait = min(wait, left)
			continue
		}
		if ctx.Err() != nil || b.isPaused() {
			return probeInterval // the others would only wait in vain as well
		}
		err := b.workItem(ctx, p.name, p.generation, p.item, t.unsaved)
		var blocked *blockedError
		if errors.As(err, &blocked) {
			continue // the component's token brings us back, at once
		}
		if err != nil {
			t.failed++
			pause := b.pauseAfter(err, t.failed)
			tried[p.name] = attempts{failed: t.failed, after: now.Add(pause), reset: reset, unsaved: errors.Is(err, errUnsaved)}
			wait = min(wait, pause)
			continue
		}
		delete(tried, p.name)
		b.came(p.item.key())
	}
	return wait
}

// workItem does what one event asks for, unless that is done, and takes it out of the
// inbox. An error means that it is to be tried again; one that wraps errUnsaved, that
// only the store is wanting.
func (b *Broker) workItem(ctx context.Context, name string, generation uint64, item inboxItem, done bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalTimeout)
	defer cancel()
	gone := change{name: name, base: generation, generation: generation}
	if done {
		return b.takeOut(ctx, item, gone)
	}
	err := errSpent
	if item.Code != "" {
		_, err = b.exchange(ctx, item.Component, item.code(), moment(item.Expires), moment(item.Created), gone)
	}
	if codeIsNoUse(err) {
		err = b.recoverAuthorization(ctx, item)
	}
	var silent *wechat.NoAnswerError
	if errors.As(err, &silent) {
		b.pause(silent)
	}
	if errors.Is(err, errUnsaved) {
		return err
	}
	if err != nil && b.clock.Now().Sub(moment(item.Created)) < inboxPatience {
		b.log.Warn("an authorization waits", "component", item.Component, "authorizer", item.AppID, "error", err)
		return err
	}
	if err != nil {
		b.log.Error("an authorization is given up; the list of authorizers brings it back if it is real", "component", item.Component, "authorizer", item.AppID, "error", err)
	}
	return b.takeOut(ctx, item, gone)
}

// takeOut takes an item that is done out of the inbox. Not before the store has what
// came of it: after a crash the inbox is all that knows of the authorization.
func (b *Broker) takeOut(ctx context.Context, item inboxItem, gone change) error {
	if err := b.saveNow(ctx, item.key()); err != nil {
		return err
	}
	if item.AppID == "" && b.hasUnsaved() {
		return errUnsaved // whose it is, the exchange has said
	}
	if err := b.records.write(ctx, gone); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", errUnsaved, err)
	}
	return nil
}

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

// errSpent says that there is no code that could be exchanged.
var errSpent = errors.New("no authorization code")

// recoverAuthorization asks for the account's info in place of a code that is
// spent: perhaps by us, just before a crash.
func (b *Broker) recoverAuthorization(ctx context.Context, item inboxItem) error {
	if item.AppID == "" {
		b.Reconcile(item.Component)
		return nil
	}
	asked := b.clock.Now()
	info, err := b.confirmedInfo(ctx, item.key())
	if wechat.Code(err) == wechat.CodeNotAuthorized {
		return nil // taken back meanwhile
	}
	if err != nil {
		return err
	}
	key := item.key()
	changed := false
	_, err = b.update(ctx, key, func(r *record) bool {
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
		b.directory.changed()
		b.follow(key, event{what: happenedAuthorized})
		b.came(key)
	}
	return err
}
