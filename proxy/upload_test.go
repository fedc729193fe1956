package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// received is one call as an upstream of uploads saw it.
type received struct {
	token, sum string
	length     int64
	chunked    bool
}

// uploads is an upstream that refuses chunks as WeChat does, answers 40001 to tokens
// below a generation, and remembers what came.
type uploads struct {
	*weixin
	mu   sync.Mutex
	seen []received
}

func newUploads(tb testing.TB, generation int) *uploads {
	u := &uploads{}
	stale := staleUntil(generation, `{"errcode":40001}`)
	u.weixin = newWeChat(tb, func(w http.ResponseWriter, r *http.Request) {
		text, _, err := sum(r.Body)
		if err != nil {
			tb.Error(err)
		}
		u.mu.Lock()
		u.seen = append(u.seen, received{r.URL.Query().Get("access_token"), text, r.ContentLength, len(r.TransferEncoding) > 0})
		u.mu.Unlock()
		if len(r.TransferEncoding) > 0 {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		r.Body = http.NoBody
		stale(w, r)
	})
	return u
}

// upload sends body in chunks or with its length.
func (s *sidecar) upload(tb testing.TB, body []byte, chunked bool, headers ...string) answer {
	tb.Helper()
	var r io.Reader = bytes.NewReader(body)
	if chunked {
		r = io.MultiReader(r) // hides the length
	}
	req, err := http.NewRequest("POST", s.url+"/cgi-bin/media/upload?type=image", r)
	if err != nil {
		tb.Fatal(err)
	}
	for _, h := range append(headers, forMerchant()) {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return s.do(req)
}

// A body that is kept comes to WeChat twice, the same bytes with their length, and
// the app does not see that its token was stale. A longer one passes once and is
// said not to be replayed, or is refused if it is chunked.
func TestUpload_Sizes(t *testing.T) {
	t.Parallel()
	f := func(limit, size int, chunked bool) {
		t.Helper()
		up, src := newUploads(t, 2), platform()
		s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}, Limits: Limits{ReplayBody: limit}})
		body := patternOf(size)
		want, _, _ := sum(bytes.NewReader(body))
		got := s.upload(t, body, chunked)
		calls, what := 2, fmt.Sprintf("%d bytes, limit %d, chunked %v", size, limit, chunked)
		replay, status, text := "", 200, `{"errcode":0,"got":""}`
		switch {
		case limit == 0 || size <= limit:
		case chunked:
			calls, status, text = 0, 413, got.body
			if got.fault() != "body_too_large" || !strings.Contains(got.body, "limits.replay_body") {
				t.Errorf("%s: %q", what, got.body)
			}
		default:
			calls, replay, text = 1, "body-too-large", `{"errcode":40001}`
		}
		if got.err != nil || got.status != status || got.body != text || got.header.Get("X-Wxsidecar-Replay") != replay {
			t.Errorf("%s: %d %q %v %v", what, got.status, got.body, got.header, got.err)
		}
		if len(up.seen) != calls {
			t.Errorf("%s: %d calls, want %d", what, len(up.seen), calls)
		}
		for i, one := range up.seen {
			if one.sum != want || one.length != int64(size) || one.chunked || !strings.HasSuffix(one.token, fmt.Sprint("-", i+1)) {
				t.Errorf("%s: call %d was %+v", what, i, one)
			}
		}
	}
	const limit = 100_000
	for _, chunked := range []bool{false, true} {
		for _, size := range []int{0, 1, shortBytes - 1, shortBytes, shortBytes + 1, limit - 1, limit, limit + 1, 4 * limit, 20 * limit} {
			f(limit, size, chunked)
		}
		f(0, DefaultReplayBody, chunked)
		f(DefaultReplayBody, DefaultReplayBody+1, chunked)
	}
}

// The forms that SDKs upload, up to what WeChat takes, survive a stale token.
func TestUpload_FormsAreCured(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1 << 20, 99 << 20 / 10} {
		for _, chunked := range []bool{false, true} {
			var form bytes.Buffer
			w := multipart.NewWriter(&form)
			part, _ := w.CreateFormFile("media", "a.mp4")
			part.Write(patternOf(size))
			w.Close()
			up := newUploads(t, 2)
			s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
			got := s.upload(t, form.Bytes(), chunked, "Content-Type: "+w.FormDataContentType())
			if got.err != nil || got.body != `{"errcode":0,"got":""}` {
				t.Errorf("%d bytes, chunked %v: %d %q %v", size, chunked, got.status, got.body, got.err)
			}
			want, _, _ := sum(&form)
			if len(up.seen) != 2 || up.seen[0].sum != want || up.seen[1].sum != want || up.seen[0].chunked || up.seen[1].chunked {
				t.Errorf("%d bytes, chunked %v: WeChat saw %+v", size, chunked, up.seen)
			}
		}
	}
}

// Where the memory is used up a body with a length passes without a replay, and a
// chunked one is asked to come again.
func TestUpload_MemoryUsedUp(t *testing.T) {
	f := func(size int, chunked, fits bool) {
		t.Helper()
		up := newUploads(t, 2)
		s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Limits: Limits{ReplayMemory: 400_000}})
		got := s.upload(t, patternOf(size), chunked)
		switch {
		case fits && (got.body != `{"errcode":0,"got":""}` || up.calls.Load() != 2):
			t.Errorf("%d bytes, chunked %v: %d %q, %d calls", size, chunked, got.status, got.body, up.calls.Load())
		case !fits && !chunked && (got.body != `{"errcode":40001}` || got.header.Get("X-Wxsidecar-Replay") != "memory-used-up" || up.calls.Load() != 1):
			t.Errorf("%d bytes: %d %q %v", size, got.status, got.body, got.header)
		case !fits && chunked && (got.status != 429 || got.fault() != "too_many_requests" || got.header.Get("Retry-After") != "1" ||
			!strings.Contains(got.body, `"errcode":-1,`) || !strings.Contains(got.body, "limits.replay_memory") || up.calls.Load() != 0):
			t.Errorf("%d bytes, chunked: %d %q %v, %d calls", size, got.status, got.body, got.header, up.calls.Load())
		}
	}
	for _, chunked := range []bool{false, true} {
		f(100, chunked, true)
		f(250_000, chunked, true)
		f(350_000, chunked, false) // a quarter is for short ones
		f(450_000, chunked, false)
	}
}

// Trailers end with the chunks that they belong to, and those who send them meet
// another call's answer only for another call.
func TestUpload_TrailersAreDropped(t *testing.T) {
	const chunks = "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Wechat-Appid: " + merchant2 + "\r\nX-Sum: 1\r\n\r\n"
	request := "POST /x HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Appid: " + merchant + "\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
		"GET /next HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Appid: " + merchant + "\r\nConnection: close\r\n\r\n"
	var mu sync.Mutex
	var seen []string
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s %q %d %v %v", r.URL.Path, b, r.ContentLength, r.Trailer, r.Header["X-Sum"]))
		io.WriteString(w, okAnswer)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	answers := rawCall(t, s.addr, request)
	want := []string{`/x "abcde" 5 map[] []`, `/next "" 0 map[] []`}
	if strings.Count(answers, okAnswer) != 2 || fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("WeChat saw %v, want %v; %q", seen, want, answers)
	}
}

// Nothing of a body is held while a long answer passes, nor once its app is gone.
func TestUpload_MemoryIsGivenBack(t *testing.T) {
	answers, goOn := make(chan struct{}), make(chan struct{})
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/never" {
			close(answers)
			<-r.Context().Done()
			return
		}
		w.Write(make([]byte, 4*bufferBytes))
		w.(http.Flusher).Flush()
		<-goOn
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	send := func(ctx context.Context, path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, "POST", s.url+path, bytes.NewReader(patternOf(1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Wechat-Appid", merchant)
		return s.client.Do(req)
	}
	resp, err := send(t.Context(), "/streams")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, bufferBytes)); err != nil {
		t.Fatal(err)
	}
	if used, n := s.memory.used.Load(), s.inflight.all.Load(); used != 0 || n != 1 {
		t.Errorf("%d bytes are held while the answer of %d calls passes", used, n)
	}
	close(goOn)
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-answers
		if s.memory.used.Load() < 1<<20 {
			t.Error("the body is not held although it may be needed again")
		}
		leave()
	}()
	if resp, err := send(ctx, "/never"); err == nil {
		resp.Body.Close()
		t.Error("an answer came")
	}
	// That nothing is held any more is what start looks for at the end.
}

// An app that breaks off, stalls or sends broken chunks leaves nothing behind.
func TestUpload_BrokenOff(t *testing.T) {
	up := newUploads(t, 2)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	for _, rest := range []string{
		"Content-Length: 2000000\r\n\r\n" + strings.Repeat("u", 1_000_000),
		"Transfer-Encoding: chunked\r\n\r\nf4240\r\n" + strings.Repeat("u", 500_000),
		"Transfer-Encoding: chunked\r\n\r\nf4240\r\n" + strings.Repeat("u", 1_000_000) + "\r\n",
		"Transfer-Encoding: chunked\r\n\r\nf4240\r\n" + strings.Repeat("u", 1_000_000) + "xx",
		"Transfer-Encoding: chunked\r\n\r\nf4240\r\n" + strings.Repeat("u", 1_000_000) + "\r\nzz\r\n",
	} {
		got := rawCall(t, s.addr, "POST /x HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Appid: "+merchant+"\r\n"+rest)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "X-Wxsidecar-Error: body_incomplete\r\n") {
			t.Errorf("%.60q: %.300q", rest, got)
		}
	}
	if up.calls.Load() != 0 {
		t.Errorf("%d calls reached WeChat", up.calls.Load())
	}
}

// Uploads that come at once, more than the memory holds, all succeed, and none of
// them keeps a small call from being cured.
func TestUpload_ManyAtOnce(t *testing.T) {
	const many = 16
	up := newUploads(t, 1)
	arrived, release := make(chan struct{}, many), make(chan struct{})
	held := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release
		io.WriteString(w, okAnswer)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: held.URL}, Limits: Limits{ReplayMemory: 4 << 20, ReplayBody: 1 << 20}})
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if got := s.upload(t, patternOf(1<<20), false); got.body != okAnswer {
				t.Errorf("%d %q %v", got.status, got.body, got.err)
			}
		})
	}
	for range many {
		<-arrived
	}
	if long := s.memory.long.Load(); long != 3<<20 {
		t.Errorf("uploads hold %d bytes", long)
	}
	s.upstream.hosts[0].pool.closeIdle()
	s.upstream.hosts[0].dialer.Connect = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(up.URL, "http://"))
	}
	for _, chunked := range []bool{false, true} {
		if got := s.upload(t, patternOf(shortBytes), chunked); got.body != `{"errcode":0,"got":""}` {
			t.Errorf("a small call: %d %q %v", got.status, got.body, got.err)
		}
	}
	close(release)
	wg.Wait()
}
