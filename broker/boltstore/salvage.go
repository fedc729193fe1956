package boltstore

import (
	"bytes"
	"maps"
	"slices"
)

// salvaged is where a record that can be saved lies in the damaged file. Only the
// place is kept, so that a large file does not have to fit into memory.
type salvaged struct {
	page       uint64
	element    int
	inline     bool
	generation uint64
	opened     bool // its seal is sound, not only its form
	tidy       bool // nothing is wrong with the page it is on
	reached    bool // the tree leads to it
}

// better reports whether s is to be kept rather than o: soundness first, then the
// newer generation, then the one that the tree leads to (a record may be written
// again with the same generation).
func (s salvaged) better(o salvaged) bool {
	if s.opened != o.opened {
		return s.opened
	}
	if s.generation != o.generation {
		return s.generation > o.generation
	}
	return s.reached && !o.reached
}

// salvage finds the records of a file page by page, whatever state its tree is in.
type salvage struct {
	in    *inspection
	check checkFunc
	// counts reports whether a page may hold current records.
	counts func(id uint64) bool
	found  map[string]salvaged
	tally  tally
	// displaced: a page was taken that is not where it says, so that nobody knows
	// whether it is current.
	displaced bool
}

// newSalvage is for a damaged file. Where the list of free pages can be trusted,
// what is not in it is exactly what is current.
func newSalvage(in *inspection, check checkFunc) *salvage {
	counts := func(uint64) bool { return true }
	if !in.doubtful() {
		counts = func(id uint64) bool { return !in.free.has(id) }
	}
	return &salvage{in: in, check: check, counts: counts, found: map[string]salvaged{}}
}

// newCopy is for a sound file that is to be made smaller.
func newCopy(in *inspection) *salvage {
	return &salvage{in: in, counts: in.reached.has, found: map[string]salvaged{}}
}

// doubtful reports whether pages that are out of use cannot be told from others.
func (in *inspection) doubtful() bool { return in.metas < 2 || in.free == nil }

func (s *salvage) scan() {
	if s.in.doubtful() {
		// What the last writes added may lie above the mark of an older meta.
		s.in.m.high = uint64(s.in.size+int64(s.in.m.pageSize)-1) / s.in.m.pageSize
	}
	for id := uint64(firstPage); id < s.in.m.high; id++ {
		// A page that cannot be read costs its own records, no others.
		h, p, err := s.in.read(id)
		switch {
		case err != nil || h.flags != leafFlag:
		case h.id == id && s.counts(id):
			s.page(id, h, p, false)
		case h.id != id && (s.counts(id) || s.counts(h.id)):
			s.displaced = true
			s.page(id, h, p, false)
		}
	}
}

// doubtful is Recovery.Doubtful.
func (s *salvage) doubtful() bool { return s.in.doubtful() || s.displaced }

// page takes what parses. It does not ask for the page's own number: a page in a
// wrong place has sound records too.
func (s *salvage) page(id uint64, h pageHeader, p []byte, inline bool) {
	tidy := h.id == id && tidy(h, p)
	for i := range h.count {
		flags, key, value, ok := leafElement(p, h.count, i)
		switch {
		case !ok:
		case flags == 0:
			s.record(string(key), value, salvaged{page: id, element: i, inline: inline, tidy: tidy, reached: s.in.reached.has(id)})
		case flags == bucketFlag && !inline && i == 0:
			if _, page, ok := inlinePage(value); ok && page != nil {
				h := parseHeader(page)
				h.id = id // inside a value a page has no number
				s.page(id, h, bytes.Clone(page), true)
			}
		}
	}
}

// tidy reports whether the elements of a leaf page are in order and lie one behind
// the other, as bbolt writes them.
func tidy(h pageHeader, p []byte) bool {
	var last []byte
	end := pageHeaderSize + h.count*elementSize
	for i := range h.count {
		flags, key, value, ok := leafElement(p, h.count, i)
		begin := pageHeaderSize + i*elementSize + leafPos(p, i)
		if !ok || flags != 0 || begin != end || !inOrder(last, key) {
			return false
		}
		last, end = key, end+len(key)+len(value)
	}
	return true
}

func (s *salvage) record(name string, value []byte, at salvaged) {
	rec, err := decode(value)
	if err != nil || !validName([]byte(name)) {
		return
	}
	before := s.tally.sound
	if s.tally.add(s.check, name, rec) != nil {
		return
	}
	at.generation, at.opened = rec.Generation, s.tally.sound > before
	if !at.opened && !at.tidy {
		return // not a record under another key, but a piece of a torn page
	}
	if old, ok := s.found[name]; !ok || at.better(old) {
		s.found[name] = at
	}
}

// each calls put with every record that is to be kept, in the order of names. The
// bytes are valid during the call.
func (s *salvage) each(put func(name string, value []byte) error) error {
	for _, name := range slices.Sorted(maps.Keys(s.found)) {
		value, err := s.value(s.found[name])
		if err != nil {
			return err
		}
		if err := put(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *salvage) value(at salvaged) ([]byte, error) {
	h, p, err := s.in.read(at.page)
	if err != nil {
		return nil, err
	}
	if at.inline {
		_, _, bucket, _ := leafElement(p, h.count, 0)
		if _, p, _ = inlinePage(bucket); p == nil {
			return nil, errDamagedValue // it parsed a moment ago: the disk changes under us
		}
		h = parseHeader(p)
	}
	_, _, value, ok := leafElement(p, h.count, at.element)
	if !ok {
		return nil, errDamagedValue
	}
	return value, nil
}
