package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// tokenText is as long as WeChat's are.
func tokenText(i int) string { return fmt.Sprintf("%0157d", i) }

func ringOf(tb testing.TB) *seal.Keyring {
	tb.Helper()
	ring, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// fill puts n authorizers in use, with tokens a minute old at now, and their
// component into store.
func fill(tb testing.TB, records store.Store, n int, now time.Time) {
	tb.Helper()
	ring := ringOf(tb)
	seed := func(key broker.Key, i int) store.Write {
		return broker.Seed{
			Key: key, Token: tokenText(i), Refresh: "refreshtoken@@@" + strings.Repeat("r", 43),
			Generation: 3, Obtained: now.Add(-time.Minute), Dies: now.Add(2*time.Hour - time.Minute),
			Authorized: now.Add(-time.Hour), Used: now.Add(-time.Minute),
		}.Write(ring)
	}
	writes := []store.Write{seed(platformKey, n)}
	for i := range n {
		writes = append(writes, seed(authorizerKey(merchant(i)), i))
		if len(writes) >= 5000 || i == n-1 {
			if err := records.Put(context.Background(), writes...); err != nil {
				tb.Fatal(err)
			}
			writes = writes[:0]
		}
	}
}

// open returns a broker over store, in real time, that does not run.
func open(tb testing.TB, records store.Store, adjust ...func(*broker.Options)) *broker.Broker {
	tb.Helper()
	client, err := wechat.New(wechat.Options{Transport: wechattest.New(wechattest.Options{}).Transport()})
	if err != nil {
		tb.Fatal(err)
	}
	o := broker.Options{
		Components: []broker.ComponentConfig{{AppID: componentID, Secret: secret.New(appSecret)}},
		WeChat:     client, Store: records, Seal: ringOf(tb), Metrics: metrics.New("test"),
	}
	for _, f := range adjust {
		f(&o)
	}
	b, err := broker.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// inUse returns n keys that are in memory and, as far as may be, in the cache, in
// no order.
func inUse(tb testing.TB, b *broker.Broker, n int) []broker.Key {
	tb.Helper()
	keys := make([]broker.Key, n)
	for i, j := range rand.Perm(n) {
		keys[i] = authorizerKey(merchant(j))
	}
	for range 3 { // the cache drops what comes too fast
		for i, key := range keys {
			if _, err := b.Token(context.Background(), key); err != nil {
				tb.Fatal(err)
			}
			if i%1000 == 0 {
				b.AwaitCache()
			}
		}
		b.AwaitCache()
	}
	return keys
}

func TestToken_HitAllocatesNothing(t *testing.T) {
	store := memstore.New(memstore.Options{})
	fill(t, store, 100, time.Now())
	b := open(t, store)
	keys := inUse(t, b, 100)
	i := 0
	allocs := testing.AllocsPerRun(5000, func() {
		if _, err := b.Token(context.Background(), keys[i%len(keys)]); err != nil {
			t.Fatal(err)
		}
		i++
	})
	if allocs != 0 {
		t.Errorf("a token from the cache costs %g allocations", allocs)
	}
}

func BenchmarkToken_Hit(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		store := memstore.New(memstore.Options{})
		fill(b, store, n, time.Now())
		br := open(b, store)
		keys := inUse(b, br, n)
		b.Run(fmt.Sprintf("serial/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := br.Token(context.Background(), keys[i%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("parallel/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var worker atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for i := int(worker.Add(1)) * n / 7; pb.Next(); i++ {
					if _, err := br.Token(context.Background(), keys[i%n]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkScrape is what a scrape costs with 100,000 authorizers in use.
func BenchmarkScrape(b *testing.B) {
	const n = 100_000
	store, m := memstore.New(memstore.Options{}), metrics.New("test")
	fill(b, store, n, time.Now())
	inUse(b, open(b, store, func(o *broker.Options) { o.Metrics = m }), n)
	for b.Loop() {
		m.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}

// BenchmarkToken_Miss is what a call costs that the cache does not know: of an
// account in memory, and of one that must be read from the store.
func BenchmarkToken_Miss(b *testing.B) {
	const n = 10_000
	store := memstore.New(memstore.Options{})
	fill(b, store, n, time.Now())
	b.Run("memory", func(b *testing.B) {
		br := open(b, store, func(o *broker.Options) { o.CacheSize = 1 })
		keys := inUse(b, br, n)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := br.Token(context.Background(), keys[i%n]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		var br *broker.Broker
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%n == 0 {
				b.StopTimer()
				br = open(b, store)
				b.StartTimer()
			}
			if _, err := br.Token(context.Background(), authorizerKey(merchant(i%n))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemoryPerAuthorizer measures bytes, not time: of an authorizer in use
// in memory, and of its record on the disk. It measures once, whatever b.N is.
func BenchmarkMemoryPerAuthorizer(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "store.db")
			store := openBolt(b, path)
			fill(b, store, n, time.Now())
			before := heap()
			br := open(b, store)
			for i := range n {
				if _, err := br.Token(context.Background(), authorizerKey(merchant(i))); err != nil {
					b.Fatal(err)
				}
			}
			br.AwaitCache()
			b.ReportMetric(float64(heap()-before)/float64(n), "heap-B/authorizer")
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/float64(n), "disk-B/authorizer")
			b.ReportMetric(0, "ns/op") // not printed then
			runtime.KeepAlive(br)
		})
	}
}

func openBolt(tb testing.TB, path string) *boltstore.Store {
	tb.Helper()
	store, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}

// run runs b until what it returns is called.
func run(b *broker.Broker) (halt func()) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Run(ctx)
	}()
	return func() { stop(); <-done }
}

// heap returns the bytes of living objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
