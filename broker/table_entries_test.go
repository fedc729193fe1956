package broker

import (
	"slices"
	"testing"
)

// A key whose hash another has is found all the same, and leaves alone.
func TestEntries_SharedHash(t *testing.T) {
	first, second := &entry{key: Key{Kind: KindAuthorizer, AppID: "wx1"}}, &entry{key: Key{Kind: KindAuthorizer, AppID: "wx2"}}
	s := newEntries()
	s.addAt(s.hash(second.key), first) // as if they had one hash
	if e := s.find(second.key); e != nil {
		t.Errorf("find of a key that is not there: %s", e.key)
	}
	s.add(second)
	if e := s.find(second.key); e != second {
		t.Errorf("find of the second: %v", e)
	}
	if all := slices.Collect(s.all()); s.size() != 2 || !slices.Contains(all, first) || !slices.Contains(all, second) {
		t.Errorf("%d entries, of which %d are yielded; want both", s.size(), len(all))
	}
	s.remove(second)
	if all := slices.Collect(s.all()); s.find(second.key) != nil || !slices.Equal(all, []*entry{first}) {
		t.Errorf("%d entries after the second was removed; want the first alone", len(all))
	}
}
