package admin_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/boltstore"
)

// What the page costs with a hundred thousand authorizers in a file.
func BenchmarkPage_HundredThousand(b *testing.B) {
	const n = 100_000
	records, err := boltstore.Open(boltstore.Options{Path: filepath.Join(b.TempDir(), "wx.db")})
	if err != nil {
		b.Fatal(err)
	}
	o := newOperated(b, n, records)
	b.Cleanup(func() { _ = records.Close() })
	o.patience = 10 * o.patience
	o.ticket()
	last := o.sim.Authorizers(pageComponent)[n-1]
	f := func(name, path, part string) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !strings.Contains(o.page(path), part) {
					b.Fatalf("%s has no %s", path, part)
				}
			}
		})
	}
	f("first", "/", "Next page")
	f("search", "/?q="+last, last)
	f("part", "/?q="+last[8:], "Accounts")
	f("state in the store", "/?state=unauthorized", "Accounts")
	f("state in memory", "/?state=trouble", "Accounts")
}
