package boltstore

import (
	"bytes"
	"fmt"
)

// maxDepth is more than any tree of ours has: each level has a hundred times the
// pages of the one above.
const maxDepth = 32

// walker follows the tree from the root. It goes on past damage, so that reached
// is as full as can be.
type walker struct {
	*inspection
	full  bool
	check checkFunc
	used  bitset // pages with an owner, overflow pages included
	// freeInUse: the tree leads to a page that is listed as free.
	freeInUse bool
	// leafDepth is where the leaf pages are: bbolt's trees are of even depth.
	leafDepth int
}

// child is a page yet to be read, and what its parent says of its keys: low is the
// lowest possible, high (nil: none) the first that is too high.
type child struct {
	id        uint64
	depth     int
	low, high []byte
}

// root reads the tree of buckets, of which ours is the only one.
func (w *walker) root() {
	h, p, err := w.claim(w.m.root)
	if err != nil {
		w.fail("the root page is damaged: %w", err)
		return
	}
	flags, key, value, ok := leafElement(p, h.count, 0)
	if h.flags != leafFlag || h.count != 1 || !ok || flags != bucketFlag || !bytes.Equal(key, bucketName()) {
		w.fail("the root page is damaged")
		return
	}
	root, inline, ok := inlinePage(value)
	if !ok {
		w.fail("the root page is damaged: it is cut off")
		return
	}
	if inline != nil {
		w.leaf(parseHeader(inline), bytes.Clone(inline), child{})
		return
	}
	w.tree(root)
}

// tree walks depth first with a stack of its own: a damaged file must not decide
// how deep ours gets.
func (w *walker) tree(root uint64) {
	for todo := []child{{id: root}}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], w.visit(c)...)
	}
}

// visit reads one page and returns its children, the leftmost last, so that it is
// read next and tells how deep the leaves are.
func (w *walker) visit(c child) []child {
	if !w.full && c.depth == w.leafDepth {
		w.claimUnread(c.id)
		return nil
	}
	h, p, err := w.claim(c.id)
	if err != nil {
		w.fail("%w", err)
		return nil
	}
	switch {
	case h.flags == leafFlag:
		w.leafDepth = min(w.leafDepth, c.depth)
		w.leaf(h, p, c)
	case h.flags == branchFlag && c.depth < maxDepth && c.depth < w.leafDepth:
		return w.branch(h, p, c)
	default:
		w.fail("page %d is neither leaf nor branch", c.id)
	}
	return nil
}

// claim reads a page that must have no owner yet.
func (w *walker) claim(id uint64) (pageHeader, []byte, error) {
	h, p, err := w.read(id)
	if err != nil {
		return h, nil, err
	}
	if h.id != id {
		return h, nil, fmt.Errorf("page %d says that it is page %d", id, h.id)
	}
	if uint64(len(p)) != (h.overflow+1)*w.m.pageSize {
		return h, nil, fmt.Errorf("page %d is cut off", id)
	}
	for i := id; i <= id+h.overflow; i++ {
		if w.taken(i) {
			return h, nil, fmt.Errorf("page %d is used twice", i)
		}
		w.used.add(i)
	}
	w.reached.add(id)
	return h, p, nil
}

func (w *walker) taken(id uint64) bool {
	w.freeInUse = w.freeInUse || w.free.has(id)
	return w.used.has(id) || w.free.has(id)
}

func (w *walker) claimUnread(id uint64) {
	if id < firstPage || id >= w.m.high || w.taken(id) {
		w.fail("page %d is used twice or does not exist", id)
		return
	}
	w.used.add(id)
	w.reached.add(id)
}

func (w *walker) branch(h pageHeader, p []byte, c child) []child {
	p = bytes.Clone(p) // the keys are kept while other pages are read
	out := make([]child, 0, h.count)
	var last []byte
	for i := range h.count {
		key, id, ok := branchElement(p, h.count, i)
		if !ok || !inOrder(last, key) || !within(key, c) {
			w.fail("branch page %d is damaged at element %d", c.id, i)
			break
		}
		if i > 0 {
			out[i-1].high = key
		}
		out = append(out, child{id: id, depth: c.depth + 1, low: key, high: c.high})
		last = key
	}
	if h.count == 0 {
		w.fail("branch page %d is empty", c.id)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

func within(key []byte, c child) bool {
	return bytes.Compare(key, c.low) >= 0 && (c.high == nil || bytes.Compare(key, c.high) < 0)
}

// leaf checks a leaf page and every record in it.
func (w *walker) leaf(h pageHeader, p []byte, c child) {
	if h.flags != leafFlag {
		w.fail("the bucket's page is not a leaf")
		return
	}
	var last []byte
	for i := range h.count {
		flags, key, value, ok := leafElement(p, h.count, i)
		if !ok || flags != 0 || !validName(key) || !inOrder(last, key) || !within(key, c) {
			w.fail("leaf page %d is damaged at element %d", c.id, i)
			return
		}
		last = key
		rec, err := decode(value)
		if err == nil {
			err = w.tally.add(w.check, string(key), rec)
		}
		if err != nil {
			w.fail("a record is damaged: %w", err)
		}
	}
}
