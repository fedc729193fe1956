package main

import (
	"bytes"
	"encoding/json"
	"sync"
)

// programLog is what a program has logged, and the addresses that it says it listens at. It is the
// program's stderr, and may be read while the program runs. The zero value is empty.
type programLog struct {
	mu      sync.Mutex
	text    bytes.Buffer
	read    int               // of text, whole lines
	address map[string]string // by listener
}

// Write implements io.Writer. A line may come in parts.
func (l *programLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	for {
		line, _, whole := bytes.Cut(l.text.Bytes()[l.read:], []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.read += len(line) + 1
		var said struct{ Msg, Listener, Address string }
		if json.Unmarshal(line, &said) != nil || said.Msg != "ready" {
			continue
		}
		if l.address == nil {
			l.address = map[string]string{}
		}
		l.address[said.Listener] = said.Address
	}
}

func (l *programLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// at returns the address of a listener; "" before it is ready.
func (l *programLog) at(listener string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address[listener]
}

// forgetAddresses has at wait for those of the next run.
func (l *programLog) forgetAddresses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.address)
}
