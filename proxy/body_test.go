package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// quietConn is an app's connection that takes every deadline.
type quietConn struct{ net.Conn }

func (quietConn) SetReadDeadline(time.Time) error  { return nil }
func (quietConn) SetWriteDeadline(time.Time) error { return nil }

// ways are the ways in which a reader may hand out the same bytes.
var ways = map[string]func(io.Reader) io.Reader{
	"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader,
	"halves": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
}

// Bodies around what is kept, and around what lies in one stretch, are sent whole
// with their length, and twice where they are kept. A chunked body that is longer is
// not sent.
func TestBody_KeepAndWrite(t *testing.T) {
	text := string(patternOf(4 * shortBytes))
	for name, way := range ways {
		for _, limit := range []int{100, shortBytes, 3*shortBytes + 10} {
			if name == "one byte" && limit > shortBytes {
				continue // it takes long, and is the same
			}
			for _, size := range []int{
				0, 1, 99, 100, 101, firstBytes, pieceBytes, pieceBytes + 1, shortBytes - 1, shortBytes, shortBytes + 1,
				shortBytes + pieceBytes, shortBytes + pieceBytes + 1, limit - 1, limit, limit + 1, len(text),
			} {
				for _, length := range []int{size, lengthChunked} {
					m := &replayMemory{limit: 1 << 20}
					var b body
					b.open(way(strings.NewReader(text[:size])), quietConn{}, length, time.Now)
					what := fmt.Sprintf("%s, limit %d, %d bytes of %d", name, limit, size, length)
					wantKept(t, what, &b, m, text[:size], limit)
				}
			}
		}
	}
}

func patternOf(n int) []byte {
	b, _ := io.ReadAll(&pattern{n: int64(n)})
	return b
}

// wantKept wants b kept if text has at most limit bytes, written as often as may be,
// and nothing of the memory taken at the end.
func wantKept(t *testing.T, what string, b *body, m *replayMemory, text string, limit int) {
	t.Helper()
	chunked := b.length == lengthChunked
	if f := b.buffer(limit, m); f != nil {
		t.Fatalf("%s: %v", what, f)
	}
	if b.whole != (len(text) <= limit) || !b.whole && b.notBuffered != replayTooLarge {
		t.Errorf("%s: whole %v, %q", what, b.whole, b.notBuffered)
	}
	if used, most := m.used.Load(), int64(max(2*len(text), len(text)+firstBytes)); used > min(most, int64(len(text)+pieceBytes)) {
		t.Errorf("%s: %d bytes of memory are taken", what, used)
	}
	for times := 0; b.whole && times < 2 || times == 0 && !chunked; times++ {
		if got := written(t, b); got != text {
			t.Errorf("%s: wrote %d other bytes", what, len(got))
		}
	}
	if b.join(); b.whole && string(b.buffered) != text {
		t.Errorf("%s: joined to %d other bytes", what, len(b.buffered))
	}
	b.release(m)
	if used, long := m.used.Load(), m.long.Load(); used != 0 || long != 0 || len(b.pieces) != 0 {
		t.Errorf("%s: %d and %d bytes, %d pieces are still taken", what, used, long, len(b.pieces))
	}
}

// Long bodies leave a quarter of the memory to short ones; a chunked body counts as
// it comes, and as long from its first byte beyond a short one's.
func TestMemory_ShortBodiesHaveRoom(t *testing.T) {
	const unit = 4 * shortBytes
	m := &replayMemory{limit: 4 * unit}
	keep := func(size, length int) *body {
		b := &body{}
		b.open(strings.NewReader(string(patternOf(size))), quietConn{}, length, time.Now)
		if f := b.buffer(16*unit, m); f != nil {
			t.Fatal(f)
		}
		return b
	}
	var kept []*body
	want := func(name string, size, length int, why string) {
		t.Helper()
		b := keep(size, length)
		kept = append(kept, b)
		if b.notBuffered != why || b.whole != (why == "") {
			t.Errorf("%s: whole %v, %q; want %q", name, b.whole, b.notBuffered, why)
		}
		if why != "" {
			b.release(m)
		}
	}
	want("two units", 2*unit, 2*unit, "")
	want("more than what is left for long ones", unit+1, unit+1, replayNoMemory)
	want("the same in chunks", 3*unit, lengthChunked, replayNoMemory)
	want("one unit", unit-pieceBytes, unit-pieceBytes, "")
	want("a long one in chunks", shortBytes+1, lengthChunked, replayNoMemory)
	for range 2 {
		want("short", shortBytes, shortBytes, "")
		want("short, in chunks", shortBytes-1, lengthChunked, "")
	}
	for _, b := range kept {
		b.release(m)
	}
	if m.used.Load() != 0 || m.long.Load() != 0 {
		t.Errorf("%d and %d bytes are still taken", m.used.Load(), m.long.Load())
	}
	want("all that long ones may have", 3*unit, 3*unit, "")
}

// What a long body holds grows with what came of it, not with what it announced.
func TestBody_HoldsWhatCame(t *testing.T) {
	const length, came = 10 << 20, 100_000
	ours, app := io.Pipe()
	b := &body{}
	b.open(ours, quietConn{}, length, time.Now)
	done := make(chan *fault)
	go func() { done <- b.buffer(length, &replayMemory{limit: 64 << 20}) }()
	if _, err := app.Write(make([]byte, came)); err != nil {
		t.Fatal(err)
	}
	app.Close()
	if f := <-done; f == nil || f.code != "body_incomplete" {
		t.Errorf("%v", f)
	}
	if n := len(b.pieces) * pieceBytes; n > came+pieceBytes || len(b.buffered) != 0 {
		t.Errorf("%d bytes are held for %d", n, came)
	}
}

// written writes b as a request and reads it back with net/http.
func written(t *testing.T, b *body) string {
	t.Helper()
	var out bytes.Buffer
	c := newConn(&bufferConn{b: &out}, &host{name: "h"}, time.Now, 0)
	r := &request{requestHead: requestHead{method: []byte("POST"), path: []byte("/")}, body: *b}
	if err := c.send(r, nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	req, err := http.ReadRequest(bufio.NewReader(&out))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

type bufferConn struct {
	fakeConn
	b *bytes.Buffer
}

func (c *bufferConn) Read([]byte) (int, error)    { return 0, io.EOF }
func (c *bufferConn) Write(p []byte) (int, error) { return c.b.Write(p) }

func TestBody_EndsEarly(t *testing.T) {
	f := func(name string, src io.Reader, length, limit int, ended bool) {
		t.Helper()
		var b body
		b.open(src, &appConn{ended: ended}, length, time.Now)
		if fault := b.buffer(limit, &replayMemory{limit: 10_000}); fault != nil {
			if fault.code != "body_incomplete" {
				t.Errorf("%s: %v", name, fault)
			}
			return
		}
		err := b.writeTo(bufio.NewWriter(io.Discard), func() error { return nil })
		if !errors.Is(err, errAppBody) {
			t.Errorf("%s: %v, want an error of the app's", name, err)
		}
	}
	f("kept, short", strings.NewReader("ab"), 3, 10, false)
	f("kept, error", iotest.ErrReader(io.ErrClosedPipe), 3, 10, false)
	f("kept, broken between chunks", strings.NewReader("ab"), lengthChunked, 10, true)
	f("streamed, short", strings.NewReader(strings.Repeat("a", 19)), 20, 10, false)
}
