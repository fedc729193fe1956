package redisstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Open tells who is not there yet from what a person must change.
func TestOpen_Unavailable(t *testing.T) {
	t.Parallel()
	f := func(what, url string, want bool) {
		t.Helper()
		s, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(url)})
		if err == nil {
			t.Errorf("%s: opened", what)
			_ = s.Close()
			return
		}
		if got := errors.Is(err, redisstore.ErrUnavailable); got != want {
			t.Errorf("%s: unavailable %v, want %v: %v", what, got, want, err)
		}
		if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), redisstore.ErrUnavailable.Error()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r := redistest.Start(t, redistest.Options{Password: "s3cr3t"})
	secured := redistest.Start(t, redistest.Options{TLS: true})
	f("a wrong password", strings.Replace(r.URL(), "s3cr3t", "s3cr3t2", 1), false)
	f("a cluster's URL", "redis-cluster://:s3cr3t@"+r.Addr(), false)
	f("another authority", "rediss://"+secured.Addr(), false)
	f("a file that is not there", "redis://"+r.Addr()+"?password_file=/nonexistent", false)
	r.Stop()
	f("a server that hangs", r.URL(), true)
	r.Cont()
	r.Kill()
	f("no server", r.URL(), true)
	f("no Sentinel", "redis-sentinel://:s3cr3t@"+r.Addr()+"/mymaster", true)
	f("no Cluster", "redis-cluster://:s3cr3t@"+r.Addr(), true)
}
