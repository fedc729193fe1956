package push

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	// claimLife is how long a push stays with a sidecar that died or lost the store. It leaves
	// the one that waits half of a message's time.
	claimLife = 2 * time.Second
	// claimExtend is after how long a claim is extended, and how long that may take. Most
	// handlers return before.
	claimExtend = 500 * time.Millisecond
	// claimPoll is how often a sidecar looks whether another is done.
	claimPoll = 50 * time.Millisecond
	// claimAsk and claimEnd are how long the store may take. With a message's 4.5 seconds,
	// claimEnd stays within the five that WeChat waits.
	claimAsk = 500 * time.Millisecond
	claimEnd = 300 * time.Millisecond
	// claimReply is how long a message's reply is kept for all sidecars. WeChat sends a message
	// again within 15 seconds, if at all; one kept for the whole window would let users fill
	// the store.
	claimReply = time.Minute
)

// What a value in the memory begins with. After claimed comes who claimed it, after done the
// sealed reply if replies are kept.
const (
	claimed byte = 'c'
	done    byte = 'd'
)

// claims let one of several sidecars handle a push, and all of them know what became of it. A
// nil one stands for a sidecar that is alone. It is immutable and safe for concurrent use.
type claims struct {
	memory store.Memory
	// kind comes before the id in names.
	kind string
	// seal seals replies; nil keeps none.
	seal *seal.Keyring
	// longest bounds how long a success is remembered; 0 does not.
	longest time.Duration
	// alone is told why the store cannot be asked before a push is handled without it; nil
	// leaves the push unhandled.
	alone func(error)
}

// do calls handle for the push id unless another sidecar has handled it or does so now, and
// remembers a success for ttl. A wait for another sidecar ends with ctx. The outcome is handled
// where this sidecar had to handle it, even if the error says that it could not.
func (c *claims) do(
	ctx context.Context, id string, ttl time.Duration, handle func(context.Context) ([]byte, error),
) (outcome, []byte, error) {
	if c == nil {
		reply, err := handle(ctx)
		return handled, reply, err
	}
	name, claim := c.kind+id, append([]byte{claimed}, rand.Text()...)
	how, reply, err := c.await(ctx, name, claim)
	switch {
	case err == nil && how == handled:
		reply, err = c.handle(ctx, name, claim, ttl, handle)
	case err != nil && ctx.Err() == nil && c.alone != nil:
		c.alone(err)
		how = handled
		reply, err = handle(ctx)
	}
	return how, reply, err
}

// await claims the push, or waits for the sidecar that has it. It returns handled once the claim
// stands: a failure elsewhere gives the push back, and the claim of a sidecar that died ends.
func (c *claims) await(ctx context.Context, name string, claim []byte) (outcome, []byte, error) {
	for how := repeated; ; how = shared {
		kept, mine, err := c.ask(ctx, name, claim)
		switch {
		case err != nil && how == shared && ctx.Err() != nil:
			return shared, nil, ctx.Err()
		case err != nil:
			return handled, nil, fmt.Errorf("ask the store who handles the push: %w", err)
		case mine:
			return handled, nil, nil
		case len(kept) == 0 || kept[0] != claimed:
			reply, err := c.reply(name, kept)
			return how, reply, err
		}
		select {
		case <-ctx.Done():
			return shared, nil, ctx.Err()
		case <-time.After(claimPoll):
		}
	}
}

func (c *claims) ask(ctx context.Context, name string, claim []byte) (kept []byte, mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimAsk)
	defer cancel()
	return c.memory.Remember(ctx, name, claim, claimLife)
}

// handle calls handle with the claim held, and says in the memory what became of it, also
// after a panic.
func (c *claims) handle(
	ctx context.Context, name string, claim []byte, ttl time.Duration, handle func(context.Context) ([]byte, error),
) (reply []byte, err error) {
	err = errAbandoned
	release := c.hold(ctx, name, claim)
	defer func() {
		release()
		c.end(ctx, name, claim, ttl, reply, err)
	}()
	return handle(ctx)
}

// hold extends a claim until release is called. A claim that was lost meanwhile, or that the
// store does not take, is not taken again: then the push may be handled twice.
func (c *claims) hold(ctx context.Context, name string, claim []byte) (release func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var extending sync.WaitGroup
	extending.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(claimExtend):
				c.replace(ctx, claimExtend, name, claim, claim, claimLife)
			}
		}
	})
	return func() {
		cancel()
		extending.Wait()
	}
}

// end remembers a success and gives a failed push back. Where the store takes neither, the claim
// ends by itself.
func (c *claims) end(ctx context.Context, name string, claim []byte, ttl time.Duration, reply []byte, err error) {
	if c.longest > 0 {
		ttl = min(ttl, c.longest)
	}
	var value []byte
	if err == nil {
		value = c.value(name, reply)
	}
	c.replace(context.WithoutCancel(ctx), claimEnd, name, claim, value, max(ttl, claimLife))
}

func (c *claims) replace(ctx context.Context, timeout time.Duration, name string, old, value []byte, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, _ = c.memory.Replace(ctx, name, old, value, ttl) // losing it costs no promise
}

// value is what the memory keeps of a success. No reply differs from an empty one.
func (c *claims) value(name string, reply []byte) []byte {
	if c.seal == nil {
		return []byte{done}
	}
	var plain []byte
	if reply != nil {
		plain = append([]byte{'='}, reply...)
	}
	return append([]byte{done}, c.seal.Seal(name, 1, plain)...)
}

// reply returns the reply in a value of the memory; nil for none.
func (c *claims) reply(name string, kept []byte) ([]byte, error) {
	sealed, is := bytes.CutPrefix(kept, []byte{done})
	if !is {
		return nil, errors.New("the store has an unknown note of the push; a newer version may have written it")
	}
	if c.seal == nil {
		return nil, nil
	}
	plain, err := c.seal.Open(name, 1, sealed)
	if err != nil || len(plain) == 0 {
		return nil, err
	}
	return plain[1:], nil
}
