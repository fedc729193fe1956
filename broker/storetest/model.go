package storetest

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// model is the store as one would explain it: a map.
type model map[string]store.Record

func (m model) put(writes []store.Write) error {
	for _, w := range writes {
		if m[w.Name].Version() != w.Base {
			return store.ErrConflict
		}
	}
	for _, w := range writes {
		if w.Record.Sealed == nil {
			delete(m, w.Name)
		} else {
			m[w.Name] = w.Record
		}
	}
	return nil
}

func (m model) list(prefix, after string, limit int) []store.Named {
	var out []store.Named
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(name, prefix) && name > after && len(out) < limit {
			out = append(out, store.Named{Name: name, Record: m[name]})
		}
	}
	return out
}

// testModel runs drawn operations against the store and the map, which must agree.
// One store serves all draws, cleared in between: opening one may cost a disk.
func testModel(t *testing.T, open Open) {
	s := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, n := range all(t, s, "", 100) {
			put(t, s, remove(n.Name, n.Record))
		}
		m := model{}
		rt.Repeat(map[string]func(*rapid.T){
			"put":  func(rt *rapid.T) { modelPut(t, rt, s, m) },
			"get":  func(rt *rapid.T) { modelGet(t, rt, s, m) },
			"list": func(rt *rapid.T) { modelList(t, rt, s, m) },
		})
	})
}

// modelName draws from few names, so that operations meet.
func modelName(rt *rapid.T, label string) string {
	return rapid.StringMatching(`[ab/]{1,3}`).Draw(rt, label)
}

func modelPut(t *testing.T, rt *rapid.T, s store.Store, m model) {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab/]{1,3}`), 1, 4, rapid.ID[string]).Draw(rt, "names")
	var writes []store.Write
	for _, n := range names {
		w := store.Write{Name: n, Base: m[n].Version()}
		switch rapid.IntRange(0, 19).Draw(rt, "stale") {
		case 0:
			w.Base.Generation++
		case 1:
			w.Base.Revision++
		}
		if rapid.IntRange(0, 3).Draw(rt, "delete") > 0 {
			w.Record = store.Record{Generation: max(1, w.Base.Generation+uint64(rapid.IntRange(0, 1).Draw(rt, "renewed"))), Sealed: unique(rapid.SliceOf(rapid.Byte()).Draw(rt, "content"))}
		}
		writes = append(writes, w)
	}
	got, want := s.Put(t.Context(), writes...), m.put(writes)
	if !errors.Is(got, want) {
		rt.Fatalf("Put %v: %v, want %v", names, got, want)
	}
}

// made counts contents.
var made atomic.Uint64

// unique returns content that no other write has, as that of a record sealed anew has it.
func unique(content []byte) []byte { return binary.AppendUvarint(content, made.Add(1)) }

func modelGet(t *testing.T, rt *rapid.T, s store.Store, m model) {
	name := modelName(rt, "name")
	got, err := s.Get(t.Context(), name)
	want, ok := m[name]
	if ok != (err == nil) || !ok && !errors.Is(err, store.ErrNotFound) {
		rt.Fatalf("Get %q: %v; the model has it: %t", name, err, ok)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("Get %q (-want +got):\n%s", name, diff)
	}
}

func modelList(t *testing.T, rt *rapid.T, s store.Store, m model) {
	prefix := rapid.StringMatching(`[ab/]{0,2}`).Draw(rt, "prefix")
	after := rapid.StringMatching(`[ab/]{0,3}`).Draw(rt, "after")
	limit := rapid.IntRange(0, 5).Draw(rt, "limit")
	got, err := s.List(t.Context(), prefix, after, limit)
	if err != nil {
		rt.Fatalf("List: %v", err)
	}
	if diff := cmp.Diff(m.list(prefix, after, limit), got); diff != "" {
		rt.Fatalf("List %q after %q, at most %d (-want +got):\n%s", prefix, after, limit, diff)
	}
}
