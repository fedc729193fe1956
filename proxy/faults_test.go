package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/dial/dnstest"
)

// reset makes the connection end with RST instead of FIN.
func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// serveFault is how an upstream treats its n-th connection.
type serveFault = func(n int, c net.Conn, br *bufio.Reader)

// sends reads the call and answers with text.
func sends(text string) serveFault {
	return func(_ int, c net.Conn, br *bufio.Reader) { readRequest(br); io.WriteString(c, text) }
}

func sendsAndResets(text string) serveFault {
	return func(_ int, c net.Conn, br *bufio.Reader) { readRequest(br); io.WriteString(c, text); reset(c) }
}

const (
	smallPost = "a body that is kept"
	bigSize   = 200_000 // more than is kept of a body, or held of an answer
)

// wantFault makes one call of an upstream with that fault, and wants the status,
// our code (status 0: the app's connection breaks off), WeChat's shape, and
// exactly so many upstream calls. A POST may have been carried out, and its answer says
// so.
func wantFault(t *testing.T, name, method, body string, serve serveFault, status int, code string, calls int64) {
	t.Helper()
	up := newRaw(t, serve)
	timeout := 30 * time.Second // a busy machine is not to make one fault of another
	if status == http.StatusGatewayTimeout {
		timeout = 300 * time.Millisecond
	}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url, Timeout: timeout}})
	got := s.call(t, method, "/cgi-bin/x", body, forMerchant())
	name += ", " + method
	switch {
	case code != "" && method == "POST":
		if code == "upstream_unreachable" {
			code = codeBroken
		}
		wantUncertain(t, name, got, http.StatusGatewayTimeout, code)
	case status == 0 && got.err == nil:
		t.Errorf("%s: %d %q, want the connection to break off", name, got.status, got.body)
	case status != 0 && (got.err != nil || got.status != status || got.fault() != code):
		t.Errorf("%s: %d %s %q %v, want %d %s", name, got.status, got.fault(), got.body, got.err, status, code)
	case code != "":
		wantOurShape(t, name, got)
	}
	if up.conns.Load() != calls {
		t.Errorf("%s: %d upstream calls, want %d", name, up.conns.Load(), calls)
	}
}

const codeBroken = "answer_broken"

func wantOurShape(t *testing.T, name string, got answer) {
	t.Helper()
	var shape struct {
		Errcode int
		Errmsg  string
	}
	if err := json.Unmarshal([]byte(got.body), &shape); err != nil || shape.Errcode != errcodeBusy || !strings.HasPrefix(shape.Errmsg, "wxsidecar: ") {
		t.Errorf("%s: %q, %v", name, got.body, err)
	}
}

// The connection is reset before the call is read, after it, behind the head of
// the answer, and in its body.
func TestFaults_Resets(t *testing.T) {
	t.Parallel()
	const unreachable = "upstream_unreachable"
	before := func(_ int, c net.Conn, br *bufio.Reader) { br.Peek(1); reset(c) }
	after := func(_ int, c net.Conn, br *bufio.Reader) { readRequest(br); reset(c) }
	closes := func(_ int, _ net.Conn, br *bufio.Reader) { readRequest(br) }
	once := func(n int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		if n > 1 {
			reply(c, okAnswer)
		}
	}
	upload := strings.Repeat("u", bigSize)
	// A GET has one more attempt. A POST may have been carried out.
	for name, serve := range map[string]serveFault{"before": before, "after": after, "closes": closes} {
		wantFault(t, name, "GET", "", serve, 502, unreachable, 2)
		wantFault(t, name, "POST", smallPost, serve, 502, unreachable, 1)
		wantFault(t, name, "POST", upload, serve, 502, unreachable, 1)
	}
	wantFault(t, "closes once", "GET", "", once, 200, "", 2)
	wantFault(t, "closes once", "POST", smallPost, once, 502, unreachable, 1)
	for _, method := range []string{"GET", "POST"} {
		wantFault(t, "half a head", method, "", sendsAndResets("HTTP/1.1 200 OK\r\nContent-Le"), 502, unreachable, 1)
		wantFault(t, "head only", method, "", sendsAndResets("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"), 502, codeBroken, 1)
		wantFault(t, "amid a body", method, "", sendsAndResets("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"errcode\":0"), 502, codeBroken, 1)
		wantFault(t, "amid a stream", method, "", sendsAndResets(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 2*bigSize, upload)), 0, "", 1)
	}
}

// An upstream that refuses an upload before its end is heard: the app gets the
// answer although it is still sending, and if it sends all of it before it reads.
func TestFaults_RefusesAnUploadEarly(t *testing.T) {
	const size = 24 << 20 // more than lies in buffers
	atOnce := func(app net.Conn) string {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.Copy(app, &pattern{n: size}) // it may well be cut off
		}()
		got, _ := io.ReadAll(app)
		<-sent
		return string(got)
	}
	sendsFirst := func(app net.Conn) string {
		if _, err := io.Copy(app, &pattern{n: size}); err != nil {
			return err.Error()
		}
		got, err := io.ReadAll(app)
		return fmt.Sprint(string(got), err)
	}
	f := func(name string, send func(net.Conn) string, kept int) {
		t.Helper()
		up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
			br.ReadString('\n')
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
			c.(*net.TCPConn).CloseWrite()
			io.CopyN(io.Discard, br, 4<<20)
		})
		s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}, Limits: Limits{ReplayBody: kept}})
		app, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(app, "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", size)
		if got := send(app); !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, "\r\n\r\nbig") || up.conns.Load() != 1 {
			t.Errorf("%s: %q, %d calls", name, got, up.conns.Load())
		}
		app.Close()
	}
	f("at once", atOnce, 0)
	f("sends first", sendsFirst, 0)
	f("kept", sendsFirst, size)
}

// An app that sends the whole of an upload before it reads hears why it is refused.
func TestServer_RefusesAnUploadInWords(t *testing.T) {
	up := newRaw(t, func(_ int, c net.Conn, _ *bufio.Reader) { reset(c) })
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	const size = 20 << 20
	f := func(path, framing string, body io.Reader, code string) {
		t.Helper()
		app, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		fmt.Fprintf(app, "POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", path, framing)
		if _, err := io.Copy(app, body); err != nil {
			t.Errorf("%s: send: %v", path, err)
		}
		io.WriteString(app, "GET /sns/auth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(app)
		if err != nil || strings.Count(string(got), "HTTP/1.1 ") != 2 || !strings.Contains(string(got), "X-Wxsidecar-Error: "+code+"\r\n") {
			t.Errorf("%s: %q, %v; want %s, and the answer to the next call", path, got, err, code)
		}
	}
	length := fmt.Sprintf("Content-Length: %d", size)
	for path, code := range map[string]string{"/x": "no_account", "/wxdeadbeefdeadbeef/x": "unknown_account", "/cgi-bin/token": "body_too_large", "/" + merchant + "/x": codeBroken} {
		f(path, length, &pattern{n: size}, code)
		if code == codeBroken {
			code = "body_too_large" // it never goes out
		}
		f(path, "Transfer-Encoding: chunked", io.MultiReader(strings.NewReader(fmt.Sprintf("%x\r\n", size)), &pattern{n: size}, strings.NewReader("\r\n0\r\n\r\n")), code)
	}
}

// Heads that do not come, or never end, are cut at the timeout, and not tried
// again.
func TestFaults_SlowHeads(t *testing.T) {
	t.Parallel()
	upload := strings.Repeat("u", bigSize)
	hangs := func(_ int, _ net.Conn, br *bufio.Reader) { readRequest(br); br.ReadByte() }
	drips := func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			if _, err := io.WriteString(c, "y"); err != nil {
				tick.Stop()
				return
			}
		}
	}
	halves := func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		br.ReadByte()
	}
	switches := func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		br.ReadByte()
	}
	wantFault(t, "switches protocols", "GET", "", switches, 502, "upstream_unreachable", 1)
	for name, serve := range map[string]serveFault{"hangs": hangs, "drips": drips, "never ends": halves} {
		wantFault(t, name, "GET", "", serve, 504, "upstream_timeout", 1)
		wantFault(t, name, "POST", smallPost, serve, 504, "upstream_timeout", 1)
		wantFault(t, name, "POST", upload, serve, 504, "upstream_timeout", 1)
	}
}

// A body that stands still is cut; one that drips for longer than the idle time
// allows for standing still comes whole.
func TestFaults_SlowBodies(t *testing.T) {
	t.Parallel()
	const idle, drops, size = 3 * time.Second, 75, 100_000
	f := func(name string, framing string, rest func(c net.Conn, br *bufio.Reader), whole bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
				readRequest(br)
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n")
				rest(c, br)
			})
			m := metrics.New("test")
			s := start(t, Options{Source: platform(), Metrics: m, Upstream: UpstreamOptions{URL: up.url, Timeout: 30 * time.Second}})
			s.upstream.idle = idle
			got := s.call(t, "GET", "/cgi-bin/x", "", forMerchant())
			if good := got.err == nil && got.status == 200; whole != good || whole && len(got.body) != size {
				t.Errorf("%d bytes, %v; want it whole: %v", len(got.body), got.err, whole)
			}
			if n := up.conns.Load(); n != 1 {
				t.Errorf("%d upstream calls, want 1", n)
			}
			if cut := strings.Contains(scrape(m), `result="cut"} 1`); cut == whole {
				t.Errorf("counted as cut: %v", cut)
			}
		})
	}
	stalls := func(c net.Conn, br *bufio.Reader) { io.WriteString(c, strings.Repeat("x", size-1)); br.ReadByte() }
	drips := func(c net.Conn, _ *bufio.Reader) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range drops {
			io.WriteString(c, "x")
			<-tick.C
		}
		io.WriteString(c, strings.Repeat("x", size-drops))
	}
	fixed := fmt.Sprintf("Content-Length: %d", size)
	f("stalls", fixed, stalls, false)
	f("stalls, held", "Content-Length: 50", func(_ net.Conn, br *bufio.Reader) { br.ReadByte() }, false)
	f("stalls, chunked", "Transfer-Encoding: chunked", func(c net.Conn, br *bufio.Reader) {
		fmt.Fprintf(c, "%x\r\n", size)
		stalls(c, br)
	}, false)
	f("drips", fixed, drips, true)
}

// What is no JSON, or odd JSON, is WeChat's answer all the same.
func TestFaults_GarbagePassesAsItCame(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 10<<20)) // a bomb for whoever unpacks it
	z.Close()
	f := func(name, header, body string) {
		t.Helper()
		up := newRaw(t, sends(fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)))
		s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
		got := s.call(t, "POST", "/cgi-bin/x", smallPost, forMerchant())
		if got.err != nil || got.status != 200 || got.body != body || up.conns.Load() != 1 {
			t.Errorf("%s: %d, %d bytes, %v, %d calls", name, got.status, len(got.body), got.err, up.conns.Load())
		}
	}
	f("page", "Content-Type: text/html\r\n", "<html><body>502 Bad Gateway</body></html>")
	f("empty", "", "")
	f("BOM", "", "\ufeff{\"errcode\":0}")
	f("gzip", "Content-Encoding: gzip\r\n", packed.String())
	f("gzip of a stale code", "Content-Encoding: gzip\r\n", `{"errcode":40001}`)
	for _, body := range []string{
		`{"errcode":NaN}`, `{"errcode":1e999}`, `{"errcode":99999999999999999999}`, `{"errcode":"40001x"}`, `{"errcode":40001.5}`,
		`{"errcode":null}`, `{"errcode":{"errcode":40001}}`, `{"data":{"errcode":40001}}`, `{"errcode":400010}`, `[{"errcode":40001}]`,
		`{"errcode":0,"errcode":40001}`, `{"errcode`, `{`, "\x00\xff{\"errcode\":40001}", strings.Repeat("[", 60_000), strings.Repeat(`{"a":`, 10_000),
	} {
		f(fmt.Sprintf("%.30q", body), "", body)
	}
}

// Answers that are no HTTP, or that two parsers could read differently.
func TestFaults_Framing(t *testing.T) {
	const head, unreachable = "HTTP/1.1 200 OK\r\n", "upstream_unreachable"
	f := func(name, text string, status int, code string) {
		t.Helper()
		wantFault(t, name, "GET", "", sends(text), status, code, 1)
		wantFault(t, name, "POST", smallPost, sends(text), status, code, 1)
	}
	f("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n", 502, unreachable)
	f("huge head", head+"X: "+strings.Repeat("y", 20<<10)+"\r\n\r\n", 502, unreachable)
	f("two lengths", head+"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, unreachable)
	f("the same length twice", head+"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 502, unreachable)
	f("negative length", head+"Content-Length: -1\r\n\r\nab", 502, unreachable)
	f("50 times 100", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50)+head+"Content-Length: 2\r\n\r\nok", 502, unreachable)
	f("a few times 100", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 3)+head+"Content-Length: 2\r\n\r\nok", 200, "")
	f("switches", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, unreachable)
	f("short body", head+"Content-Length: 50\r\n\r\n{\"errcode\":0", 502, codeBroken)
	f("short stream", fmt.Sprintf(head+"Content-Length: %d\r\n\r\n%s", 2*bigSize, strings.Repeat("u", bigSize)), 0, "")
	const chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
	f("cut chunk", chunked+"5\r\nab", 502, codeBroken)
	f("no last chunk", chunked+"2\r\nab\r\n", 502, codeBroken)
	f("no trailer's end", chunked+"2\r\nab\r\n0\r\n", 502, codeBroken)
	f("bad chunk", chunked+"zz\r\nab\r\n0\r\n\r\n", 502, codeBroken)
	f("cut stream", fmt.Sprintf(chunked+"%x\r\n%s", 2*bigSize, strings.Repeat("u", bigSize)), 0, "")
}

// An answer of a GiB passes, and memory stays flat.
func TestFaults_HugeAnswer(t *testing.T) {
	size := int64(1 << 30)
	if raceEnabled {
		size = 64 << 20
	}
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		piece := make([]byte, 256<<10)
		for sent := int64(0); sent < size; sent += int64(len(piece)) {
			c.Write(piece)
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	resp := s.open(t.Context(), t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.Copy(struct{ io.Writer }{io.Discard}, resp.Body)
	if err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d KiB were allocated for it", grown>>10)
	}
}

// Redirects are passed on, counted and never followed, and the token that they
// may repeat is taken out.
func TestFaults_Redirects(t *testing.T) {
	var elsewhere atomic.Int64
	m := metrics.New("test")
	trap := newWeChat(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		to := trap.URL + "/latest/meta-data"
		if r.URL.Path == "/repeats" {
			to += "?" + r.URL.RawQuery
		}
		var code int
		fmt.Sscanf(r.URL.Query().Get("code"), "%d", &code)
		http.Redirect(w, r, to, code)
	})
	s := start(t, Options{Source: platform(), Metrics: m, Upstream: UpstreamOptions{URL: up.URL}})
	codes := []int{301, 302, 303, 307, 308}
	for _, method := range []string{"GET", "POST"} {
		for _, code := range codes {
			got := s.call(t, method, fmt.Sprintf("/x?code=%d", code), "", forMerchant())
			if got.status != code || got.header.Get("Location") != trap.URL+"/latest/meta-data" {
				t.Errorf("%s, %d: %d to %q", method, code, got.status, got.header.Get("Location"))
			}
			got = s.call(t, method, fmt.Sprintf("/repeats?code=%d", code), "", forMerchant())
			if got.status != code || got.header.Get("Location") != "" || strings.Contains(got.body, "tok-") {
				t.Errorf("%s, %d: %d %v %q", method, code, got.status, got.header, got.body)
			}
		}
	}
	want := int64(4 * len(codes))
	if up.calls.Load() != want || elsewhere.Load() != 0 {
		t.Errorf("%d calls, want %d; %d elsewhere", up.calls.Load(), want, elsewhere.Load())
	}
	if text := fmt.Sprintf("wxsidecar_upstream_redirects_total %d", want); !strings.Contains(scrape(m), text) {
		t.Errorf("%q is not in the metrics", text)
	}
}

// What DNS may do to us, without an earlier answer to fall back on: no packet goes
// to any address, and the app is told.
func TestFaults_DNS(t *testing.T) {
	t.Parallel()
	f := func(name string, answer func(network string, q []byte) []byte, status int, code string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: "http://api.weixin.qq.com", Resolver: dnstest.New(t, answer)}})
			var dialled atomic.Int64
			s.upstream.hosts[0].dialer.Connect = func(context.Context, string, string) (net.Conn, error) {
				dialled.Add(1)
				return nil, io.ErrClosedPipe
			}
			got := s.call(t, "POST", "/cgi-bin/x", smallPost, forMerchant())
			if got.status != status || got.fault() != code || dialled.Load() != 0 {
				t.Errorf("%d %s %q, %d connections; want %d %s and none", got.status, got.fault(), got.body, dialled.Load(), status, code)
			}
			wantOurShape(t, name, got)
		})
	}
	fails := func(rcode byte) func(string, []byte) []byte {
		return func(_ string, q []byte) []byte { b := dnstest.Answer(q, 0); b[3] |= rcode; return b }
	}
	points := func(v4, v6 string) func(string, []byte) []byte {
		return func(_ string, q []byte) []byte {
			if dnstest.Type(q) == dnstest.A {
				return dnstest.Answer(q, 0, v4)
			}
			return dnstest.Answer(q, 0, v6)
		}
	}
	f("NXDOMAIN", fails(3), 502, "upstream_unreachable")
	f("SERVFAIL", fails(2), 502, "upstream_unreachable")
	f("no answer", func(string, []byte) []byte { return nil }, 502, "upstream_unreachable")
	f("this machine", points("127.0.0.1", "::1"), 502, "upstream_unreachable")
	f("metadata", points("169.254.169.254", "fe80::1"), 502, "upstream_unreachable")
	f("private", points("10.1.2.3", "fd00::1"), 502, "upstream_unreachable")
	f("NAT64", points("192.168.0.1", "64:ff9b::a9fe:a9fe"), 502, "upstream_unreachable")
}
