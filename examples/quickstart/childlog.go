package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
)

// tailLines is how many lines are shown when something went wrong.
const tailLines = 12

// childLog takes what the sidecar logs. It passes it on to a file, keeps the last
// lines, and reads out of it where the listeners are, as those on port 0 are known
// to nobody else. It is safe for concurrent use.
type childLog struct {
	file io.Writer
	// ready is closed when all three listeners have said where they are.
	ready chan struct{}

	mu        sync.Mutex
	partial   []byte
	last      []string
	addresses map[string]string
}

func newChildLog(file io.Writer) *childLog {
	return &childLog{file: file, ready: make(chan struct{}), addresses: map[string]string{}}
}

// Write implements [io.Writer].
func (l *childLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			break
		}
		l.take(string(line))
		l.partial = rest
	}
	return l.file.Write(p)
}

// take needs the lock.
func (l *childLog) take(line string) {
	if l.last = append(l.last, line); len(l.last) > tailLines {
		l.last = l.last[1:]
	}
	var entry struct{ Msg, Listener, Address string }
	if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "ready" || len(l.addresses) == 3 {
		return
	}
	if l.addresses[entry.Listener] = entry.Address; len(l.addresses) == 3 {
		close(l.ready)
	}
}

func (l *childLog) address(listener string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addresses[listener]
}

// tail returns the last lines, indented.
func (l *childLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "  " + strings.Join(append(l.last[:len(l.last):len(l.last)], string(l.partial)), "\n  ")
}
