package push

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// replica is one sidecar's dedup of messages, with its view of the store.
type replica struct {
	*dedup
	view  *memstore.Shared
	asked atomic.Int32 // how often the store was asked
	alone atomic.Int32 // how many messages were handled without it
	// kept are all values that it wrote.
	kept [][]byte
}

// Remember implements [store.Memory].
func (r *replica) Remember(ctx context.Context, name string, value []byte, ttl time.Duration) ([]byte, bool, error) {
	r.asked.Add(1)
	return r.view.Remember(ctx, name, value, ttl)
}

// Replace implements [store.Memory].
func (r *replica) Replace(ctx context.Context, name string, old, value []byte, ttl time.Duration) (bool, error) {
	r.asked.Add(1)
	r.kept = append(r.kept, value)
	return r.view.Replace(ctx, name, old, value, ttl)
}

// newReplicas returns that many on one store.
func newReplicas(t *testing.T, n int) []*replica {
	t.Helper()
	keys, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	shared := memstore.New(memstore.Options{})
	list := make([]*replica, n)
	for i := range list {
		r := &replica{view: shared.Shared(string(rune('a' + i)))}
		r.dedup = newDedup(100, 1000, &claims{
			memory: r, kind: "message/", seal: keys, longest: claimReply, alone: func(error) { r.alone.Add(1) },
		})
		list[i] = r
	}
	return list
}

// result is what do returned.
type result struct {
	how   outcome
	reply string
	err   error
	took  time.Duration
}

// give gives the replica the message, and sends what became of it.
func (r *replica) give(t *testing.T, id string, handle func(context.Context) ([]byte, error)) <-chan result {
	t.Helper()
	results := make(chan result, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				results <- result{err: errAbandoned}
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), messageTimeout)
		defer cancel()
		begun := time.Now()
		how, reply, err := r.do(ctx, id, zero, later, handle)
		results <- result{how, string(reply), err, time.Since(begun)}
	}()
	synctest.Wait()
	return results
}

func replies(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

// forbidden is the handler of a message that must not be handled again.
func forbidden(t *testing.T) func(context.Context) ([]byte, error) {
	t.Helper()
	return func(context.Context) ([]byte, error) {
		t.Error("the message was handled twice")
		return nil, nil
	}
}

func want(t *testing.T, got <-chan result, how outcome, reply string) time.Duration {
	t.Helper()
	r := <-got
	if r.how != how || r.reply != reply || r.err != nil {
		t.Errorf("do = %v, %q, %v; want %v, %q", r.how, r.reply, r.err, how, reply)
	}
	return r.took
}

func TestClaims_RepeatGetsTheFirstReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 2)
		for _, reply := range []string{"s3cr3t reply", ""} {
			want(t, r[0].give(t, "id"+reply, replies(reply)), handled, reply)
			want(t, r[1].give(t, "id"+reply, forbidden(t)), repeated, reply)
		}
		none := func(context.Context) ([]byte, error) { return nil, nil }
		want(t, r[0].give(t, "none", none), handled, "")
		_, reply, err := r[1].do(t.Context(), "none", zero, later, forbidden(t))
		if reply != nil || err != nil {
			t.Errorf("the repeat of a message without a reply: %q, %v; want nil", reply, err)
		}
		_, reply, err = r[1].do(t.Context(), "id", zero, later, forbidden(t))
		if reply == nil || err != nil {
			t.Errorf("the repeat of a message with an empty reply: nil, %v", err)
		}
		for _, value := range r[0].kept {
			if bytes.Contains(value, []byte("s3cr3t")) {
				t.Errorf("the store has a reply that is not sealed: %q", value)
			}
		}
	})
}

// What one process knows it asks nobody about, and handling a message costs the store two
// operations.
func TestClaims_AskTheStoreNoMoreThanNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 2)
		want(t, r[0].give(t, "a", replies("x")), handled, "x")
		want(t, r[1].give(t, "a", forbidden(t)), repeated, "x")
		for range 100 {
			want(t, r[0].give(t, "a", forbidden(t)), repeated, "x")
			want(t, r[1].give(t, "a", forbidden(t)), repeated, "x")
		}
		if a, b := r[0].asked.Load(), r[1].asked.Load(); a != 2 || b != 1 {
			t.Errorf("the store was asked %d and %d times; want 2 and 1", a, b)
		}
	})
}

func TestClaims_CopiesShareTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 3)
		release := make(chan struct{})
		first := r[0].give(t, "a", func(context.Context) ([]byte, error) { <-release; return []byte("x"), nil })
		second, third := r[1].give(t, "a", forbidden(t)), r[2].give(t, "a", forbidden(t))
		time.Sleep(3 * claimLife / 2) // longer than a claim that is not extended
		close(release)
		want(t, first, handled, "x")
		want(t, second, shared, "x")
		want(t, third, shared, "x")
	})
}

func TestClaims_FailureIsTriedAfresh(t *testing.T) {
	fails := func(context.Context) ([]byte, error) { return nil, errors.New("x") }
	panics := func(context.Context) ([]byte, error) { panic("x") }
	for _, bad := range []func(context.Context) ([]byte, error){fails, panics} {
		synctest.Test(t, func(t *testing.T) {
			r := newReplicas(t, 2)
			if got := <-r[0].give(t, "a", bad); got.err == nil {
				t.Errorf("do = %+v; want an error", got)
			}
			if took := want(t, r[1].give(t, "a", replies("x")), handled, "x"); took != 0 {
				t.Errorf("the other one waited %s for a push that was given back", took)
			}
		})
	}
}

// The one that waits takes over as soon as the claim of the one that died ends.
func TestClaims_TakenOverFromTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 2)
		release := make(chan struct{})
		first := r[0].give(t, "a", func(context.Context) ([]byte, error) { <-release; return []byte("late"), nil })
		time.Sleep(claimExtend + time.Millisecond) // it was extended once
		r[0].view.Down(errors.New("dead"))
		took := want(t, r[1].give(t, "a", replies("x")), handled, "x")
		if took > claimLife+claimPoll {
			t.Errorf("taken over after %s; want %s", took, claimLife)
		}
		// It was not dead but cut off: what the other one left stays.
		r[0].view.Down(nil)
		close(release)
		want(t, first, handled, "late")
		want(t, r[1].give(t, "a", forbidden(t)), repeated, "x")
	})
}

// A message is rather handled twice than not at all.
func TestClaims_StoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 2)
		r[0].view.Down(errors.New("away"))
		want(t, r[0].give(t, "a", replies("x")), handled, "x")
		want(t, r[0].give(t, "a", forbidden(t)), repeated, "x")
		want(t, r[1].give(t, "a", replies("y")), handled, "y")
		if a, b := r[0].alone.Load(), r[1].alone.Load(); a != 1 || b != 0 {
			t.Errorf("%d and %d messages were handled alone; want 1 and 0", a, b)
		}
	})
}

// A store that hangs costs half a second, also where it hangs only at the end.
func TestClaims_StoreHangs(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 2)
		r[0].view.Wait = hang
		if took := want(t, r[0].give(t, "a", replies("x")), handled, "x"); took != claimAsk {
			t.Errorf("handled after %s; want %s", took, claimAsk)
		}
		r[1].view.Wait = func(ctx context.Context) error {
			if r[1].asked.Load() > 1 {
				return hang(ctx)
			}
			return nil
		}
		if took := want(t, r[1].give(t, "b", replies("x")), handled, "x"); took != claimEnd {
			t.Errorf("answered after %s; want %s", took, claimEnd)
		}
	})
}

// A wait for another sidecar ends with the time that the copy has.
func TestClaims_WaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, 2)
		release := make(chan struct{})
		first := r[0].give(t, "a", func(context.Context) ([]byte, error) { <-release; return nil, nil })
		if got := <-r[1].give(t, "a", forbidden(t)); got.how != shared || !errors.Is(got.err, context.DeadlineExceeded) || got.took != messageTimeout {
			t.Errorf("do = %+v", got)
		}
		close(release)
		want(t, first, handled, "")
		// A copy without any time is not handled: whoever comes next has more.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if how, _, err := r[1].do(ctx, "b", zero, later, forbidden(t)); how != handled || !errors.Is(err, context.Canceled) {
			t.Errorf("do = %v, %v", how, err)
		}
	})
}

// Replies are kept for a minute, events as long as their timestamps are good.
func TestClaims_Forget(t *testing.T) {
	f := func(longest, after time.Duration, remembered bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newReplicas(t, 2)
			r[0].claims.longest = longest
			want(t, r[0].give(t, "a", replies("x")), handled, "x")
			time.Sleep(after)
			if how, _, _ := r[1].do(t.Context(), "a", zero, later, replies("y")); (how == repeated) != remembered {
				t.Errorf("with %s, after %s: %v", longest, after, how)
			}
		})
	}
	f(claimReply, claimReply-time.Second, true)
	f(claimReply, claimReply+time.Second, false)
	f(0, later.Sub(zero)-time.Second, true)
	f(0, later.Sub(zero)+time.Second, false)
}

// What cannot be read is as if the store did not answer: another key, another version.
func TestClaims_UnreadableNote(t *testing.T) {
	for _, note := range []string{"d" + strings.Repeat("?", 100), "e", ""} {
		synctest.Test(t, func(t *testing.T) {
			r := newReplicas(t, 1)
			var memory store.Memory = r[0].view
			if _, _, err := memory.Remember(t.Context(), "message/a", []byte(note), time.Hour); err != nil {
				t.Fatal(err)
			}
			want(t, r[0].give(t, "a", replies("x")), handled, "x")
			r[0].claims.alone = nil
			if got := <-r[0].give(t, "b", replies("x")); got.err != nil {
				t.Errorf("another message: %v", got.err)
			}
			r[0].known = map[string]known{}
			if got := <-r[0].give(t, "a", forbidden(t)); got.err == nil {
				t.Errorf("an event with the note %q: %+v; want an error", note, got)
			}
		})
	}
}
