package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// checkFunc is Options.Check.
type checkFunc func(name string, rec store.Record) error

// pages reads a store file without trusting it.
type pages struct {
	r    io.ReaderAt
	size int64
	m    meta   // the newest sound meta; only pageSize and high are set if there is none
	buf  []byte // of the page read last
}

// inspection is what inspect found out about a file.
type inspection struct {
	pages
	// damage is the first thing that is wrong; nil for a sound file.
	damage error
	// metas is how many of the two metas are sound.
	metas int
	// reached has the first page of each leaf and branch in use, as far as the tree
	// could be followed; free the pages not in use, nil if their list is lost.
	reached, free bitset
	freeN         uint64
	tally         tally
}

// tally counts records by what Options.Check says of them.
type tally struct {
	sound, damaged, unopened int
	unopenedErr              error
}

// add returns what makes the record damage, or nil. A record under another key is
// not damage: a wrong setting must not cause a repair.
func (t *tally) add(check checkFunc, name string, rec store.Record) error {
	if check == nil {
		t.sound++
		return nil
	}
	err := check(name, rec)
	switch {
	case err == nil:
		t.sound++
	case errors.Is(err, seal.ErrDamaged):
		t.damaged++
		return err
	default:
		t.unopened++
		t.unopenedErr = err
	}
	return nil
}

// inspect reads the file's structure: everything if full, else all but the leaf
// pages. It does not fail: what cannot be read is damage.
func inspect(r io.ReaderAt, size int64, full bool, check checkFunc) *inspection {
	in := &inspection{pages: pages{r: r, size: size}}
	in.findMeta()
	if in.metas == 0 {
		in.fail("both meta pages are damaged")
		return in
	}
	if in.metas == 1 {
		// bbolt would silently go on with the older one, without the last writes.
		in.fail("one of the two meta pages is damaged")
	}
	if in.m.high < firstPage+1 || in.m.high > uint64(size)/in.m.pageSize {
		in.fail("the file is cut off: it has %d bytes, its content needs %d pages of %d", size, in.m.high, in.m.pageSize)
		in.m.high = min(in.m.high, uint64(size)/in.m.pageSize)
	}
	in.reached = newBitset(in.m.high)
	in.readFreelist()
	w := &walker{inspection: in, full: full, check: check, used: newBitset(in.m.high), leafDepth: math.MaxInt}
	w.root()
	if w.freeInUse {
		in.free = nil // the list or the tree is wrong, and a repair must not lose by it
	}
	return in
}

func (in *inspection) fail(format string, args ...any) {
	if in.damage == nil {
		in.damage = fmt.Errorf(format, args...)
	}
}

// findMeta sets m to the newest sound meta. The second meta's place depends on the
// page size, which a damaged first one does not tell.
func (in *inspection) findMeta() {
	first, ok := in.metaAt(0)
	if ok {
		in.metas, in.m = 1, first
	}
	for size := uint64(1024); size <= 1<<16; size *= 2 {
		if ok && size != first.pageSize {
			continue
		}
		second, good := in.metaAt(int64(size))
		if !good || second.pageSize != size {
			continue
		}
		in.metas++
		if in.metas == 1 || second.txid > in.m.txid {
			in.m = second
		}
		break
	}
	if in.metas == 0 {
		size := uint64(os.Getpagesize())
		in.m = meta{pageSize: size, high: (uint64(in.size) + size - 1) / size}
	}
}

func (in *inspection) metaAt(at int64) (m meta, ok bool) {
	head := make([]byte, pageHeaderSize+metaSize)
	if n, _ := in.r.ReadAt(head, at); n < len(head) {
		return meta{}, false
	}
	return parseMeta(head)
}

// read returns page id with its overflow pages. The bytes are valid until the next
// read.
func (p *pages) read(id uint64) (pageHeader, []byte, error) {
	if id < firstPage || id >= p.m.high {
		return pageHeader{}, nil, fmt.Errorf("page %d does not exist", id)
	}
	buf, err := p.readN(id, 1)
	if err != nil {
		return pageHeader{}, nil, err
	}
	h := parseHeader(buf)
	if h.overflow == 0 {
		return h, buf, nil
	}
	if h.overflow >= p.m.high-id || h.overflow > (maxSealed+1<<20)/1024 && h.flags != freelistFlag {
		return h, nil, fmt.Errorf("page %d leads out of the file", id)
	}
	buf, err = p.readN(id, h.overflow+1)
	return h, buf, err
}

// readN reads n pages. The last ones may be cut off.
func (p *pages) readN(id, n uint64) ([]byte, error) {
	want := int(n * p.m.pageSize)
	if cap(p.buf) < want {
		p.buf = make([]byte, want)
	}
	got, err := p.r.ReadAt(p.buf[:want], int64(id*p.m.pageSize))
	if err != nil && (!errors.Is(err, io.EOF) || got < pageHeaderSize) {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	return p.buf[:got], nil
}

// readFreelist sets free.
func (in *inspection) readFreelist() {
	h, p, err := in.read(in.m.freelist)
	if err != nil || h.id != in.m.freelist || h.flags != freelistFlag {
		in.fail("the list of free pages is damaged")
		return
	}
	ids, ok := freeIDs(p, h.count)
	if !ok {
		in.fail("the list of free pages is damaged: it is too long")
		return
	}
	free := newBitset(in.m.high)
	for ; len(ids) > 0; ids = ids[8:] {
		id := binary.NativeEndian.Uint64(ids)
		if id < firstPage || id >= in.m.high || free.has(id) || id >= h.id && id <= h.id+h.overflow {
			in.fail("the list of free pages is damaged: page %d", id)
			return
		}
		free.add(id)
		in.freeN++
	}
	in.free = free
}

// wasted reports whether the file is larger than above, and mostly empty.
func (in *inspection) wasted(above int64) bool {
	if in.size < above || in.m.high <= in.freeN {
		return false
	}
	live := int64((in.m.high - in.freeN) * in.m.pageSize)
	return live < in.size/4
}
