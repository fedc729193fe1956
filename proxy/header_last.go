package proxy

import (
	"bytes"
	"slices"
)

// lastHeadBytes is how long header lines may be that a connection remembers. It keeps as much again
// of what is forwarded of them, also while it rests.
const lastHeadBytes = 2 << 10

// lastHead is the header lines of a connection's last call, and what they say. Most clients send
// the same ones with each call; those are read once.
type lastHead struct {
	lines   []byte // empty for none
	forward []byte // those that are forwarded, as they are sent
	head    head   // its bytes are those of lines
	ours    bool   // the Host is one of ours, in a call whose target names none
}

// read reads the raw lines of a call's head, as [readHead] does. What it finds is good until it
// is called again. Lines that are refused are not remembered.
func (l *lastHead) read(raw []byte) (f *fault) {
	if len(raw) > 0 && bytes.Equal(l.lines, raw) {
		return nil
	}
	lines := append(l.lines[:0], raw...)
	l.lines, l.ours = lines[:0], false
	l.forward, l.head, f = readHead(slices.Grow(l.forward[:0], len(raw)), lines)
	if f == nil {
		l.lines = lines
	}
	return f
}
