package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// take keeps an authorization event; its code is exchanged after WeChat has its answer.
func (x *inbox) take(ctx context.Context, p wechat.Push) error {
	if p.AuthorizerAppID == "" && p.Code.IsZero() {
		return nil // a registration that failed, say: nothing to exchange
	}
	item := inboxItem{
		Component: p.Component, AppID: p.AuthorizerAppID, Code: p.Code.Reveal(),
		Expires: millis(p.CodeExpires), Created: millis(p.CreateTime),
	}
	plain, err := json.Marshal(item)
	if err != nil {
		return err
	}
	name := inboxName(p.Component, p.CreateTime, p.ID)
	x.markPending(item.key(), false) // before run can know of it, and end the wait
	x.checkpoint("push-saving")
	err = x.ledger.write(ctx, change{name: name, generation: 1, plain: plain})
	x.checkpoint("push-saved")
	if errors.Is(err, store.ErrConflict) {
		x.markPending(item.key(), true)
		return nil // a repeat of one that waits already
	}
	if err != nil {
		x.noteRefused(item.key()) // before those who wait look again
		x.markDone(item.key())
		return fmt.Errorf("keep the authorization of %s: %w", p.AuthorizerAppID, err)
	}
	x.markPending(item.key(), true)
	x.forgetRefused(item.key())
	x.wakeUp()
	return nil
}

// follow has x know of an authorization that another sidecar was told of, before anybody asks
// whether it waits, and has run look at what waits.
func (x *inbox) follow(ctx context.Context, c store.Change) {
	defer x.wakeUp()
	if c.Went {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	got, err := x.ledger.read(ctx, c.Name)
	var item inboxItem
	if err == nil && got.plain != nil && json.Unmarshal(got.plain, &item) == nil {
		x.markPending(item.key(), true)
	}
}

const (
	// refusedMemory is how long a merchant whose authorization was not kept is not called
	// unknown. WeChat pushes it again meanwhile, or the list brings it.
	refusedMemory = 10 * time.Minute
	refusedMost   = 4096
)

// noteRefused remembers that the store did not take the authorization of key.
func (x *inbox) noteRefused(key Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.refused) >= refusedMost {
		clear(x.refused)
	}
	x.refused[key] = x.clock.Local()
}

func (x *inbox) forgetRefused(key Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.refused, key)
}

// wasRefused reports whether the store lately did not take the authorization of key.
func (x *inbox) wasRefused(key Key) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, ok := x.refused[key]
	return ok && x.clock.Local().Sub(at) < refusedMemory
}

// wakeUp has run look at what waits. It never blocks.
func (x *inbox) wakeUp() { notify(x.wake) }

// markPending notes that the authorization of key waits, and whether the store has it.
func (x *inbox) markPending(key Key, kept bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch p := x.pending[key]; {
	case key.AppID == "":
	case p == nil:
		x.pending[key] = &pending{done: make(chan struct{}), kept: kept}
	case kept:
		p.kept = true
	}
}

// keptPending returns the keys of the authorizations that wait and that the store has, or had.
func (x *inbox) keptPending() map[Key]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	keys := map[Key]bool{}
	for key, p := range x.pending {
		if p.kept {
			keys[key] = true
		}
	}
	return keys
}

// markDone ends the wait of those who call for key.
func (x *inbox) markDone(key Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.pending[key]; p != nil {
		close(p.done)
		delete(x.pending, key)
	}
}

// pendingOf returns the channel that is closed once the authorization of key has been
// exchanged, nil where none waits.
func (x *inbox) pendingOf(key Key) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.pending[key]; p != nil {
		return p.done
	}
	return nil
}

// isPending reports whether the authorization of key waits, or may: what an earlier run left
// must have been read first.
func (x *inbox) isPending(key Key) bool { return !x.listed.Load() || x.pendingOf(key) != nil }
