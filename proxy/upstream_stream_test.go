package proxy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// pattern yields n bytes that differ from place to place.
type pattern struct {
	n  int64
	at int64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.n-p.at)]
	for i := range b {
		at := p.at + int64(i)
		b[i] = byte(at ^ at>>8 ^ at>>16)
	}
	p.at += int64(len(b))
	return len(b), nil
}

func sum(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(struct{ io.Writer }{h}, r)
	return hashText(h), n, err
}

func hashText(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// Eight bodies of 50 MiB go up and down at once, whole, and memory stays flat.
func TestStream_FlatMemory(t *testing.T) {
	const parallel = 8
	size := int64(50 << 20)
	if raceEnabled {
		// The race detector makes copying ten times as dear. More than is kept for a replay.
		size = DefaultReplayBody + 2<<20
	}
	want, _, _ := sum(&pattern{n: size})
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		got, n, err := sum(r.Body)
		if err != nil || n != size || got != want {
			http.Error(w, fmt.Sprint("the upload differs: ", n, err), 500)
			return
		}
		if r.URL.Path == "/fixed" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		io.Copy(w, &pattern{n: size})
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak.Store(max(peak.Load(), now.HeapInuse))
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range parallel {
		wg.Go(func() {
			path, body := "/fixed", io.Reader(&pattern{n: size})
			req, err := http.NewRequest("POST", s.url+path, body)
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = size // WeChat takes no chunks; it may send them
			if i%2 == 1 {
				req.URL.Path = "/chunked"
			}
			req.Header.Set("X-Wechat-Appid", merchant)
			resp, err := s.client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, n, err := sum(resp.Body); err != nil || n != size || got != want || resp.StatusCode != 200 {
				t.Errorf("call %d: %d, %d bytes, %v, equal %v", i, resp.StatusCode, n, err, got == want)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-sampled
	if grown := int64(peak.Load()) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if n := s.inflight.all.Load(); n != 0 {
		t.Errorf("%d calls are still under way", n)
	}
}

func testStream(left int64, prefix string, r io.Reader) *stream {
	return &stream{u: &upstream{now: time.Now}, src: r, remaining: left, prefix: []byte(prefix)}
}

func TestStream_Reader(t *testing.T) {
	text := strings.Repeat("0123456789", 100)
	for _, at := range []int{0, 1, 10, 999, 1000} {
		fixed := testStream(int64(len(text)-at), text[:at], strings.NewReader(text[at:]+"the next answer"))
		if err := iotest.TestReader(fixed, []byte(text)); err != nil {
			t.Errorf("fixed, prefix %d: %v", at, err)
		}
		open := testStream(-1, text[:at], iotest.HalfReader(strings.NewReader(text[at:])))
		if err := iotest.TestReader(open, []byte(text)); err != nil {
			t.Errorf("open, prefix %d: %v", at, err)
		}
	}
}

func TestStream_BreaksOff(t *testing.T) {
	f := func(name string, st *stream, want string) {
		t.Helper()
		got, err := io.ReadAll(st)
		if err == nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q and an error", name, got, err, want)
		}
		if _, again := st.Read(make([]byte, 1)); again == nil || errors.Is(again, io.EOF) {
			t.Errorf("%s: read again: %v, want the error to stay", name, again)
		}
	}
	f("short", testStream(5, "ab", strings.NewReader("cd")), "abcd")
	f("error", testStream(-1, "ab", io.MultiReader(strings.NewReader("cd"), iotest.ErrReader(io.ErrClosedPipe))), "abcd")
}

func TestStream_CloseTellsOnce(t *testing.T) {
	f := func(read bool, want error) {
		t.Helper()
		h := &host{}
		defer h.pool.close()
		st := testStream(2, "", strings.NewReader("ab"))
		st.c = newConn(&fakeUpstream{}, h, time.Now, 0)
		st.c.reusable = true
		var told []error
		st.done = func(err error) { told = append(told, err) }
		if read {
			io.ReadAll(st)
		}
		st.Close()
		st.Close()
		if len(told) != 1 || !errors.Is(told[0], want) || len(h.pool.idle) == 1 != read {
			t.Errorf("read %v: told %v, %d idle connections", read, told, len(h.pool.idle))
		}
	}
	f(true, nil)
	f(false, errCut)
}

// Sizes around the limit for holding an answer, in each framing.
func TestReceive_Sizes(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		var size int64
		fmt.Sscanf(r.URL.Query().Get("size"), "%d", &size)
		if r.URL.Path == "/fixed" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		} else {
			w.(http.Flusher).Flush()
		}
		io.Copy(w, &pattern{n: size})
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	for _, path := range []string{"/fixed", "/chunked"} {
		for _, size := range []int64{0, 1, bufferBytes - 1, bufferBytes, bufferBytes + 1, 3 * bufferBytes} {
			want, _, _ := sum(&pattern{n: size})
			got := s.call(t, "GET", fmt.Sprintf("%s?size=%d", path, size), "", forMerchant())
			if text, _, _ := sum(strings.NewReader(got.body)); got.err != nil || text != want {
				t.Errorf("%s of %d: %d bytes, %v", path, size, len(got.body), got.err)
			}
		}
	}
}
