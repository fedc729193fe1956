package broker_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/boltstore"
)

// What an operator's questions cost with a hundred thousand authorizers in a file, all of
// them in use.
func BenchmarkAdmin_HundredThousand(b *testing.B) {
	const n = 100_000
	records, err := boltstore.Open(boltstore.Options{Path: filepath.Join(b.TempDir(), "wx.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = records.Close() }()
	fill(b, records, n, time.Now())
	sidecar := open(b, records)
	inUse(b, sidecar, n)
	admin := sidecar.Admin()
	f := func(name string, q broker.AccountQuery) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := admin.Accounts(context.Background(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("overview", func(b *testing.B) {
		for b.Loop() {
			admin.Overview()
		}
	})
	f("page", broker.AccountQuery{Limit: 500})
	f("search", broker.AccountQuery{Search: merchant(n - 1)})
	f("part", broker.AccountQuery{Search: merchant(n - 1)[8:]})
	f("state in the store", broker.AccountQuery{State: "unauthorized"})
	f("state in memory", broker.AccountQuery{State: broker.AnyTrouble})
}
