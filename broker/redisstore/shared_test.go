package redisstore_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

// prefixes has each test have a store of its own on one server.
var prefixes atomic.Int64

func ownStore(url string) string {
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return fmt.Sprintf("%s%sprefix=test%d", url, separator, prefixes.Add(1))
}

func open(t testing.TB, url string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(url), Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// passesSuite runs all that a shared store has to pass.
func passesSuite(t *testing.T, url string) {
	storetest.RunShared(t, func(t *testing.T, views int) []store.Shared {
		own := ownStore(url)
		var all []store.Shared
		for range views {
			all = append(all, open(t, own))
		}
		return all
	})
}

func TestStore_Single(t *testing.T) {
	t.Parallel()
	passesSuite(t, redistest.Start(t, redistest.Options{}).URL())
}

func TestStore_Sentinel(t *testing.T) {
	t.Parallel()
	passesSuite(t, redistest.StartSentinel(t, redistest.Options{}).URL())
}

func TestStore_Cluster(t *testing.T) {
	t.Parallel()
	passesSuite(t, redistest.StartCluster(t, redistest.Options{}).URL())
}
