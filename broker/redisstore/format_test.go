package redisstore_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// A record lies as docs/redis.md says, and one with a field of a later version is read, changed
// and compared like any other: while replicas are replaced one by one, versions are mixed.
func TestStore_VersionsMix(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	s := open(t, server.URL())
	want := store.Record{Generation: 3, Fence: 7, Sealed: []byte("content")}
	server.MustDo("HSET", "{wxsidecar}:r:a", "g", "3", "d", strconv.FormatUint(want.Version().Revision, 10), "f", "7", "b", "content",
		"w", "other~1", "o", "2:5", "later", "1")
	server.MustDo("ZADD", "{wxsidecar}:names", "0", "a")
	got, err := s.Get(t.Context(), "a")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("Get: %v (-want +got):\n%s", err, diff)
	}
	if page, err := s.List(t.Context(), "", "", 10); err != nil || len(page) != 1 || page[0].Fence != 7 {
		t.Errorf("List: %v, %v", page, err)
	}
	lease, err := s.Lock(t.Context(), "a", store.LeaseOptions{For: time.Second, Generation: 3})
	if err != nil || lease.Fence() <= 7 {
		t.Fatalf("Lock: %v, want a fence greater than the record's", err)
	}
	lease.Unlock()
	next := store.Write{Name: "a", Base: got.Version(), Record: store.Record{Generation: 4, Fence: 8, Sealed: []byte("newer")}}
	put(t, s, next)
	if err := s.Put(t.Context(), store.Write{Name: "a", Base: got.Version(), Record: store.Record{Generation: 4, Sealed: []byte("late")}}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a write over what is no longer stored: %v", err)
	}
	var fields []string
	for i, f := range server.MustDo("HGETALL", "{wxsidecar}:r:a").([]any) {
		if i%2 == 0 {
			fields = append(fields, f.(string))
		}
	}
	slices.Sort(fields)
	if diff := cmp.Diff([]string{"b", "d", "f", "g", "later", "o", "w"}, fields); diff != "" {
		t.Errorf("the fields of a record (-want +got):\n%s", diff)
	}
}
