package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
)

// Dead letters of a day take a store minutes to queue again. A signal that asks to stop is heard
// in the meantime, and the store is not closed before the work has ended.
func TestWatch_SIGTERMWhileDeadLettersAreQueued(t *testing.T) {
	t.Parallel()
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	wechat.AddAccount(scriptAccount, scriptAppSecret)
	c := accountConfig(t, wechat)
	c.Events = []config.Event{{URL: "unix:///nobody.listens"}}
	s, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var slow atomic.Bool
	begun, ended := make(chan struct{}), make(chan struct{})
	s.events = deadLetterBox(t, s, memstore.Options{Wait: func(ctx context.Context) error {
		if slow.Load() {
			close(begun)
			<-ctx.Done()
			close(ended)
		}
		return ctx.Err()
	}})
	s.start()
	slow.Store(true)
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGHUP
	signals <- syscall.SIGTERM
	r := &reloader{sidecar: s, config: c, load: func() *config.Loaded { return &config.Loaded{Config: c} }, log: s.log}
	watched := make(chan error, 1)
	go func() {
		_, err := s.watch(t.Context(), r, signals)
		watched <- err
	}()
	<-begun
	select {
	case err := <-watched:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("SIGTERM is not heard")
	}
	if err := s.stop(config.Shutdown{Grace: 30 * time.Second}); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("the store was closed while dead letters were queued")
	}
}

// deadLetterBox returns an outbox for s in which one event is a dead letter.
func deadLetterBox(t *testing.T, s *sidecar, levers memstore.Options) *outbox.Outbox {
	t.Helper()
	keys, err := seal.New(make([]byte, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	targets, err := relayTargets([]config.Event{{URL: "unix:///nobody.listens"}})
	if err != nil {
		t.Fatal(err)
	}
	var later atomic.Int64
	box, err := outbox.Open(t.Context(), outbox.Options{
		Store: memstore.New(levers), Seal: keys, Targets: eventTargets(targets, s.messages.client),
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Add(t.Context(), outbox.Event{ID: "1", Component: scriptComponent, InfoType: "authorized"}); err != nil {
		t.Fatal(err)
	}
	later.Store(int64(25 * time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); box.Run(ctx) }()
	await(t, "the event is a dead letter", func() bool { return len(box.DeadLetters()) > 0 })
	cancel()
	<-ran
	return box
}
