package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// scanned returns what a scan finds, in the order of keys.
func scanned(t *testing.T, o redisstore.ScanOptions) (found []redisstore.Scanned, err error) {
	t.Helper()
	err = redisstore.Scan(t.Context(), o, func(s redisstore.Scanned) { found = append(found, s) })
	sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
	return found, err
}

// A user that may do nothing else reads everything, and the server sees no write.
func TestScan(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, readerOf())
	s.MustDo("SET", "a:1", "one")
	s.MustDo("SET", "a:2", "two-and-more", "PX", "3600000")
	s.MustDo("HSET", "a:3", "f", "v")
	s.MustDo("SET", "a:4", "")
	s.MustDo("SET", "b", "other")
	before := s.Info("rdb_changes_since_last_save")
	found, err := scanned(t, redisstore.ScanOptions{URL: secret.New(s.URL()), Patterns: []string{"a:*", "none*"}, MaxBytes: 5})
	if err != nil || len(found) != 4 {
		t.Fatalf("%+v, %v", found, err)
	}
	left := found[1].Left
	if left <= time.Hour-time.Minute || left > time.Hour {
		t.Errorf("it lives %s on, want an hour", left)
	}
	found[1].Left = 0
	want := []redisstore.Scanned{{Key: "a:1", Value: []byte("one")}, {Key: "a:2", Value: []byte("two-an")}, {Key: "a:3", NoText: true}, {Key: "a:4", Value: []byte{}}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if after := s.Info("rdb_changes_since_last_save"); after != before {
		t.Errorf("%s changes, and %s before", after, before)
	}
}

func TestScan_ManyKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	const n = 2345
	all := make([]string, 0, 2*n+1)
	all = append(all, "MSET")
	for i := range n {
		all = append(all, fmt.Sprintf("k:%d", i), fmt.Sprint(i))
	}
	s.MustDo(all...)
	o := redisstore.ScanOptions{URL: secret.New(s.URL()), Patterns: []string{"k:*"}, MaxBytes: 10}
	found, err := scanned(t, o)
	names := map[string]bool{}
	for _, f := range found {
		names[f.Key] = "k:"+string(f.Value) == f.Key
	}
	if err != nil || len(names) != n {
		t.Errorf("%d keys of %d: %v", len(names), n, err)
	}
	for name, right := range names {
		if !right {
			t.Errorf("%s has another's value", name)
		}
	}
	o.MaxKeys = 100
	if _, err := scanned(t, o); !errors.Is(err, redisstore.ErrTooManyKeys) {
		t.Errorf("more keys than are wanted: %v", err)
	}
}

// readerOf is a user who may do what docs/migration.md says, and nothing else.
func readerOf(more ...string) redistest.Options {
	return redistest.Options{User: "reader", Password: "p", ACL: append([]string{"~*", "+scan", "+getrange", "+pttl", "+ping", "+client|setname"}, more...)}
}

// wantLack wants a scan without a right to name all that are needed.
func wantLack(t *testing.T, rule, url, want string, servers ...*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		s.MustDo("ACL", "SETUSER", "reader", rule)
	}
	_, err := scanned(t, redisstore.ScanOptions{URL: secret.New(url), Patterns: []string{"k:*"}, MaxBytes: 10})
	if want := "it needs SCAN, GETRANGE and PTTL on all keys" + want + ":"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with %s: %v, want %q", rule, err, want)
	}
}

// The keys of a Cluster lie on all of its nodes.
func TestScan_Cluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, readerOf("+role", "+cluster|slots", "+cluster|shards"))
	for i := range 50 {
		name := fmt.Sprintf("k:%d", i)
		c.Primary(name).MustDo("SET", name, "v")
	}
	found, err := scanned(t, redisstore.ScanOptions{URL: secret.New(c.URL()), Patterns: []string{"k:*"}, MaxBytes: 10})
	if err != nil || len(found) != 50 {
		t.Errorf("%d keys of 50: %v", len(found), err)
	}
	wantLack(t, "-role", c.URL(), ", and ROLE, CLUSTER SLOTS and CLUSTER SHARDS", c.Servers...)
	wantLack(t, "-cluster|slots", c.URL(), ", and ROLE, CLUSTER SLOTS and CLUSTER SHARDS", c.Servers...)
}

func TestScan_Sentinel(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t, readerOf("+role"))
	s.Primary().MustDo("SET", "k:1", "v")
	found, err := scanned(t, redisstore.ScanOptions{URL: secret.New(s.URL()), Patterns: []string{"k:*"}, MaxBytes: 10})
	if err != nil || len(found) != 1 {
		t.Errorf("%d keys of 1: %v", len(found), err)
	}
	wantLack(t, "-role", s.URL(), ", and ROLE", s.Servers...)
}

func TestScan_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := func(url, want string) {
		t.Helper()
		_, err := scanned(t, redisstore.ScanOptions{URL: secret.New(url), Patterns: []string{"*"}, MaxBytes: 10})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	s := redistest.Start(t, redistest.Options{User: "reader", Password: "s3cr3t", ACL: []string{"~*", "+scan", "+set", "+client|setname", "+ping"}})
	s.MustDo("SET", "a", "v")
	f(s.URL(), "the user lacks a right; it needs SCAN, GETRANGE and PTTL on all keys")
	f("redis://reader:s3cr3t-other@"+s.Addr(), "Redis refuses the user or the password of the URL")
	f("redis://"+s.Addr(), "Redis wants a password")
	f("http://x", "must begin with redis://")
	s.Kill()
	f(s.URL(), "cannot connect")

	running := redistest.Start(t, redistest.Options{})
	running.MustDo("SET", "a", "v")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := redisstore.Scan(ctx, redisstore.ScanOptions{URL: secret.New(running.URL()), Patterns: []string{"*"}, MaxBytes: 10}, func(redisstore.Scanned) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was ended: %v", err)
	}
}
