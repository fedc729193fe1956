package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const vaultName = "meta/ca"

// vault returns a broker on store, without WeChat.
func vault(t *testing.T, records store.Store) *broker.Broker {
	t.Helper()
	ring, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := wechat.New(wechat.Options{Transport: unreachable{}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{WeChat: client, Store: records, Seal: ring})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Cleanup(func() { _ = b.Run(ctx) }) // which closes what New opened
	return b
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody is there")
}

func TestKeep(t *testing.T) {
	store := memstore.New(memstore.Options{})
	first := func(kept []byte) ([]byte, error) {
		if kept != nil {
			return nil, nil
		}
		return []byte("the private key"), nil
	}
	for range 2 { // the second is another sidecar, or the next start
		got, err := vault(t, store).Keep(t.Context(), vaultName, first)
		if err != nil || string(got) != "the private key" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	rec, err := store.Get(t.Context(), vaultName)
	if err != nil || rec.Generation != 1 || bytes.Contains(rec.Sealed, []byte("private")) {
		t.Errorf("not sealed, or written twice: generation %d, %v", rec.Generation, err)
	}
	got, err := vault(t, store).Keep(t.Context(), vaultName, func(kept []byte) ([]byte, error) {
		return append(kept, '2'), nil
	})
	if err != nil || string(got) != "the private key2" {
		t.Errorf("renewed: %q, %v", got, err)
	}
}

func TestKeep_ReplicasAgree(t *testing.T) {
	store := memstore.New(memstore.Options{})
	const replicas = 4
	got := make([][]byte, replicas)
	var wg sync.WaitGroup
	for i := range replicas {
		b := vault(t, store)
		wg.Go(func() {
			kept, err := b.Keep(context.Background(), vaultName, func(kept []byte) ([]byte, error) {
				if kept != nil {
					return nil, nil
				}
				return fmt.Appendf(nil, "made by %d", i), nil
			})
			if err != nil {
				t.Error(err)
			}
			got[i] = kept
		})
	}
	wg.Wait()
	for _, g := range got {
		if !bytes.Equal(g, got[0]) {
			t.Errorf("%q and %q", g, got[0])
		}
	}
}

func TestKeep_Errors(t *testing.T) {
	refused := errors.New("no randomness")
	_, err := vault(t, memstore.New(memstore.Options{})).Keep(t.Context(), vaultName, func([]byte) ([]byte, error) { return nil, refused })
	if !errors.Is(err, refused) {
		t.Error(err)
	}
	keepNothing := func([]byte) ([]byte, error) { return nil, nil }
	if _, err := vault(t, memstore.New(memstore.Options{})).Keep(t.Context(), "authorizer/wx1", keepNothing); err == nil {
		t.Error("a key's record was given out")
	}
	_, err = vault(t, contested{memstore.New(memstore.Options{})}).Keep(t.Context(), vaultName, func([]byte) ([]byte, error) { return []byte("x"), nil })
	if !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
}

// contested is a store on which everybody else is always faster.
type contested struct{ store.Store }

func (c contested) Put(ctx context.Context, writes ...store.Write) error {
	if writes[0].Name == vaultName {
		return store.ErrConflict
	}
	return c.Store.Put(ctx, writes...)
}
