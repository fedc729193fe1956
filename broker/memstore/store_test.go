package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memstore.New(memstore.Options{}) })
}

var first = store.Write{Name: "a", Record: store.Record{Generation: 1, Sealed: []byte("one")}}

func TestStore_FailPut(t *testing.T) {
	full := errors.New("disk full")
	var asked []store.Write
	s := memstore.New(memstore.Options{FailPut: func(writes []store.Write) error {
		asked = writes
		return full
	}})
	if err := s.Put(t.Context(), first); !errors.Is(err, full) {
		t.Errorf("Put: %v, want the hook's error", err)
	}
	if len(asked) != 1 || asked[0].Name != "a" {
		t.Errorf("the hook was asked about %v", asked)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a failed Put wrote: %v", err)
	}
}

func TestStore_LosePut(t *testing.T) {
	lost := errors.New("connection reset")
	s := memstore.New(memstore.Options{LosePut: func([]store.Write) error { return lost }})
	if err := s.Put(t.Context(), first); !errors.Is(err, lost) {
		t.Errorf("Put: %v, want the hook's error", err)
	}
	if rec, err := s.Get(t.Context(), "a"); err != nil || rec.Generation != 1 {
		t.Errorf("the write is not in: %v", err)
	}
}

func TestStore_Wait(t *testing.T) {
	s := memstore.New(memstore.Options{Wait: func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}})
	ends := func(op string, run func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- run(ctx) }()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", op, err)
		}
	}
	ends("Get", func(ctx context.Context) error { _, err := s.Get(ctx, "a"); return err })
	ends("List", func(ctx context.Context) error { _, err := s.List(ctx, "", "", 1); return err })
	ends("Put", func(ctx context.Context) error { return s.Put(ctx, first) })
}

func filled(b *testing.B, n int) *memstore.Store {
	s := memstore.New(memstore.Options{})
	for i := range n {
		w := store.Write{Name: fmt.Sprintf("authorizer/wx%016x", i), Record: store.Record{Generation: 1, Sealed: make([]byte, 300)}}
		if err := s.Put(b.Context(), w); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func BenchmarkStore_Get(b *testing.B) {
	s := filled(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), "authorizer/wx0000000000000123"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStore_List(b *testing.B) {
	s := filled(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if page, err := s.List(b.Context(), "authorizer/", "authorizer/wx0000000000000123", 100); err != nil || len(page) != 100 {
			b.Fatal(len(page), err)
		}
	}
}
