package outbox_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// awaitNumber waits until the app has got that many, and compares them.
func (a *app) awaitNumber(t *testing.T, want ...string) {
	t.Helper()
	redistest.Await(t, time.Minute, "what the app is to get", func() (bool, any) {
		got := a.receipts()
		return len(got) >= len(want), got
	})
	a.mustHave(t, want...)
}

// onRedis starts an outbox on a server. stop ends it in order.
func onRedis(t *testing.T, server *redistest.Server, a *app) (box *outbox.Outbox, stop func()) {
	t.Helper()
	records, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(server.URL())})
	if err != nil {
		t.Fatal(err)
	}
	box, err = outbox.Open(t.Context(), outbox.Options{Store: records, Seal: keyring(t), Targets: []outbox.Target{a}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { records.Watch(ctx, box.Follow) })
	running.Go(func() { box.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := records.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	t.Cleanup(stop)
	return box, stop
}

// The same on a real server: each event once and in order, over a stop, and what FLUSHALL took is
// put back.
func TestShared_Redis(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	a := &app{name: "a"}
	first, stop := onRedis(t, server, a)
	second, _ := onRedis(t, server, a)
	third, _ := onRedis(t, server, a)
	add := func(box *outbox.Outbox, n int) {
		t.Helper()
		if err := box.Add(t.Context(), event("m", n)); err != nil {
			t.Fatal(err)
		}
	}
	waits := func(want int, boxes ...*outbox.Outbox) {
		t.Helper()
		for _, box := range boxes {
			redistest.Await(t, time.Minute, "an outbox to know what waits", func() (bool, any) { n, _, _ := box.Stats(); return n == want, n })
		}
	}
	for n := range 30 {
		add([]*outbox.Outbox{first, second, third}[n%3], n)
		if n%10 == 0 {
			add(second, n) // again, at another
		}
	}
	a.awaitNumber(t, ids("m", 0, 29)...)
	waits(0, first)
	waits(0, second, third)
	a.answerWith(down)
	add(third, 30)
	stop()
	add(second, 31)
	waits(2, second, third)
	server.Flush()
	a.answerWith(nil)
	a.awaitNumber(t, ids("m", 0, 31)...)
	add(third, 32)
	add(second, 32)
	a.awaitNumber(t, ids("m", 0, 32)...)
}
