package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// quietConn is an app's connection that takes every deadline.
type quietConn struct{ c net.Conn }

func (q quietConn) Conn() net.Conn                 { return q.c }
func (quietConn) SetReadDeadline(time.Time) error  { return nil }
func (quietConn) SetWriteDeadline(time.Time) error { return nil }

// ways are the ways in which a reader may hand out the same bytes.
var ways = map[string]func(io.Reader) io.Reader{
	"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader,
	"halves": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
}

// Bodies around the limit for keeping are sent whole, in either framing, and
// twice where they are kept.
func TestBody_KeepAndWrite(t *testing.T) {
	const limit = 100
	for name, way := range ways {
		for _, size := range []int{0, 1, limit - 1, limit, limit + 1, 3 * limit} {
			for _, length := range []int{size, lengthChunked} {
				text := strings.Repeat("0123456789", 30)[:size]
				m := memory{limit: 1000}
				var b body
				b.open(way(strings.NewReader(text)), quietConn{}, length, time.Now)
				if f := b.keep(limit, &m); f != nil {
					t.Fatalf("%s, %d of %d: %v", name, size, length, f)
				}
				if b.whole != (size <= limit) || !b.whole && b.notKept != replayTooLarge {
					t.Errorf("%s, %d of %d: whole %v, %q", name, size, length, b.whole, b.notKept)
				}
				for times := 0; times == 0 || times == 1 && b.whole; times++ {
					if got := written(t, &b); got != text {
						t.Errorf("%s, %d of %d: wrote %q", name, size, length, got)
					}
				}
				if m.give(b.reserved); m.used.Load() != 0 {
					t.Errorf("%s, %d of %d: %d bytes of memory are taken", name, size, length, m.used.Load())
				}
			}
		}
	}
}

// written writes b as a request and reads it back with net/http.
func written(t *testing.T, b *body) string {
	t.Helper()
	var out bytes.Buffer
	c := newConn(&bufferConn{b: &out}, &host{}, time.Now, 0)
	c.bw.WriteString("POST / HTTP/1.1\r\nHost: h\r\n")
	if err := c.writeFraming(b.length); err != nil {
		t.Fatal(err)
	}
	if err := b.writeTo(c.bw, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	c.bw.Flush()
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
		b.open(src, quietConn{&appConn{ended: ended}}, length, time.Now)
		if fault := b.keep(limit, &memory{limit: 1000}); fault != nil {
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
	f("streamed, broken between chunks", strings.NewReader(strings.Repeat("a", 20)), lengthChunked, 10, true)
}
