package boltstore

import (
	"encoding/binary"
	"hash/fnv"
)

// This file knows bbolt's file format, version 2: pages of one size, numbered from
// the beginning of the file, in the byte order of the machine. Nothing here trusts
// what it reads; a position that leads out of the page is no element.

const (
	pageHeaderSize = 16
	elementSize    = 16 // of leaf and of branch elements
	metaSize       = 64
	metaMagic      = 0xED0CDAED
	metaVersion    = 2
	bucketHeader   = 16
	bucketFlag     = 0x01

	branchFlag   = 0x01
	leafFlag     = 0x02
	metaFlag     = 0x04
	freelistFlag = 0x10

	firstPage = 2 // after the two meta pages
)

type pageHeader struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
}

// parseHeader needs pageHeaderSize bytes.
func parseHeader(p []byte) pageHeader {
	return pageHeader{
		id:       binary.NativeEndian.Uint64(p),
		flags:    binary.NativeEndian.Uint16(p[8:]),
		count:    int(binary.NativeEndian.Uint16(p[10:])),
		overflow: uint64(binary.NativeEndian.Uint32(p[12:])),
	}
}

// meta is a meta page: the root of one transaction's state.
type meta struct {
	pageSize, root, freelist, high, txid uint64
}

// parseMeta reads the meta page p.
func parseMeta(p []byte) (m meta, ok bool) {
	if len(p) < pageHeaderSize+metaSize {
		return meta{}, false
	}
	b := p[pageHeaderSize:]
	hasMagic := binary.NativeEndian.Uint32(b) == metaMagic
	m = meta{
		pageSize: uint64(binary.NativeEndian.Uint32(b[8:])),
		root:     binary.NativeEndian.Uint64(b[16:]),
		freelist: binary.NativeEndian.Uint64(b[32:]),
		high:     binary.NativeEndian.Uint64(b[40:]),
		txid:     binary.NativeEndian.Uint64(b[48:]),
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSize-8])
	ok = hasMagic && binary.NativeEndian.Uint32(b[4:]) == metaVersion &&
		sum.Sum64() == binary.NativeEndian.Uint64(b[metaSize-8:]) && goodPageSize(m.pageSize)
	return m, ok
}

func goodPageSize(n uint64) bool { return n >= 1024 && n <= 1<<16 && n&(n-1) == 0 }

// leafElement returns element i of the leaf page p.
func leafElement(p []byte, count, i int) (flags uint32, key, value []byte, ok bool) {
	at := pageHeaderSize + i*elementSize
	if at+elementSize > len(p) {
		return 0, nil, nil, false
	}
	pos := uint64(at) + uint64(binary.NativeEndian.Uint32(p[at+4:]))
	keyEnd := pos + uint64(binary.NativeEndian.Uint32(p[at+8:]))
	end := keyEnd + uint64(binary.NativeEndian.Uint32(p[at+12:]))
	if pos < uint64(pageHeaderSize+count*elementSize) || end > uint64(len(p)) || keyEnd == pos {
		return 0, nil, nil, false
	}
	return binary.NativeEndian.Uint32(p[at:]), p[pos:keyEnd], p[keyEnd:end], true
}

// leafPos returns how far behind its entry the bytes of element i lie, -1 if the
// page ends before it.
func leafPos(p []byte, i int) int {
	at := pageHeaderSize + i*elementSize
	if at+elementSize > len(p) {
		return -1
	}
	return int(binary.NativeEndian.Uint32(p[at+4:]))
}

// branchElement returns element i of the branch page p.
func branchElement(p []byte, count, i int) (key []byte, child uint64, ok bool) {
	at := pageHeaderSize + i*elementSize
	if at+elementSize > len(p) {
		return nil, 0, false
	}
	pos := uint64(at) + uint64(binary.NativeEndian.Uint32(p[at:]))
	end := pos + uint64(binary.NativeEndian.Uint32(p[at+4:]))
	if pos < uint64(pageHeaderSize+count*elementSize) || end > uint64(len(p)) || end == pos {
		return nil, 0, false
	}
	return p[pos:end], binary.NativeEndian.Uint64(p[at+8:]), true
}

// freeIDs returns the numbers in the freelist page p, and false if they do not fit.
// A count of 65,535 means that the count is the first number.
func freeIDs(p []byte, count int) ([]byte, bool) {
	b := p[pageHeaderSize:]
	n := uint64(count)
	if count == 0xFFFF {
		if len(b) < 8 {
			return nil, false
		}
		n, b = binary.NativeEndian.Uint64(b), b[8:]
	}
	if n > uint64(len(b)/8) {
		return nil, false
	}
	return b[:n*8], true
}

// inlinePage returns the page inside a bucket's value, nil if the bucket has pages
// of its own, whose root is then returned.
func inlinePage(value []byte) (root uint64, page []byte, ok bool) {
	if len(value) < bucketHeader {
		return 0, nil, false
	}
	if root = binary.NativeEndian.Uint64(value); root != 0 {
		return root, nil, true
	}
	if len(value) < bucketHeader+pageHeaderSize {
		return 0, nil, false
	}
	return 0, value[bucketHeader:], true
}

// bitset is a set of page numbers.
type bitset []uint64

func newBitset(n uint64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i uint64) bool { return i/64 < uint64(len(b)) && b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) add(i uint64) {
	if i/64 < uint64(len(b)) {
		b[i/64] |= 1 << (i % 64)
	}
}
