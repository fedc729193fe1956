package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// page is as many records as WeChat's list has on a page.
const page = 500

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("authorizer/wx%016x/wx7f00c0de00000001", i)
	}
	return names
}

func manyWrites(names []string, base store.Record) []store.Write {
	content := string(make([]byte, 400))
	writes := make([]store.Write, len(names))
	for i, name := range names {
		writes[i] = next(name, base, content)
	}
	return writes
}

// More names than one round trip reads come in their order, without those that have no record.
func TestStore_ManyRecords(t *testing.T) {
	s := open(t, redistest.Start(t, redistest.Options{}).URL())
	names := manyNames(page + 100)
	put(t, s, manyWrites(names, store.Record{})...)
	asked := slices.Clone(names)
	slices.Reverse(asked)
	asked[7] = "none"
	got, err := s.GetAll(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Delete(slices.Clone(asked), 7, 8)
	var gotNames []string
	for _, n := range got {
		gotNames = append(gotNames, n.Name)
	}
	if !slices.Equal(gotNames, want) {
		t.Errorf("%d of %d records, or not in their order", len(gotNames), len(want))
	}
}

// Names behind a prefix whose end is not a plain text.
func TestStore_ListOddPrefix(t *testing.T) {
	s := open(t, redistest.Start(t, redistest.Options{}).URL())
	put(t, s, first("\xfe", "x"), first("\xfe\xff", "x"), first("\xfe\xff\xffa", "x"), first("\xff", "x"), first("票\xff", "x"), first("票", "x"))
	f := func(prefix string, want ...string) {
		t.Helper()
		got, err := s.List(t.Context(), prefix, "", 10)
		if err != nil {
			t.Error(err)
		}
		var names []string
		for _, n := range got {
			names = append(names, n.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("List %q: %q, want %q", prefix, names, want)
		}
	}
	f("\xfe\xff", "\xfe\xff", "\xfe\xff\xffa")
	f("\xfe", "\xfe", "\xfe\xff", "\xfe\xff\xffa")
	f("\xff", "\xff")
	f("票", "票", "票\xff")
	f("票\xff", "票\xff")
}

func benched(b *testing.B) (store.Store, []string) {
	s := open(b, redistest.Start(b, redistest.Options{}).URL())
	names := manyNames(page)
	if err := s.Put(b.Context(), manyWrites(names, store.Record{})...); err != nil {
		b.Fatal(err)
	}
	return s, names
}

func BenchmarkStore_Get(b *testing.B) {
	s, names := benched(b)
	for b.Loop() {
		if _, err := s.Get(b.Context(), names[17]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStore_GetAll500(b *testing.B) {
	s, names := benched(b)
	for b.Loop() {
		if got, err := s.GetAll(b.Context(), names); err != nil || len(got) != page {
			b.Fatal(len(got), err)
		}
	}
}

func BenchmarkStore_Put500(b *testing.B) {
	s, names := benched(b)
	base := manyWrites(names[:1], store.Record{})[0].Record
	for b.Loop() {
		writes := manyWrites(names, base)
		if err := s.Put(b.Context(), writes...); err != nil {
			b.Fatal(err)
		}
		base = writes[0].Record
	}
}

func BenchmarkStore_List500(b *testing.B) {
	s, _ := benched(b)
	for b.Loop() {
		if got, err := s.List(b.Context(), "authorizer/", "", page); err != nil || len(got) != page {
			b.Fatal(len(got), err)
		}
	}
}

func BenchmarkStore_LockAndUnlock(b *testing.B) {
	s := open(b, redistest.Start(b, redistest.Options{}).URL())
	for b.Loop() {
		lease, err := s.Lock(context.Background(), "k", store.LeaseOptions{For: 20e9})
		if err != nil {
			b.Fatal(err)
		}
		lease.Unlock()
	}
}
