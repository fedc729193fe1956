package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// smuggling is a corpus of heads and bodies that parsers have been known to read
// differently. Each is followed by a second request, which must never reach
// WeChat as part of the first, nor the other way round.
var smuggling = []string{
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3, 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3 \r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length : 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent_Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n03\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF3\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n",
	"POST /a HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\nHost: localhost\nContent-Length: 3\n\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
	"POST /a HTTP/1.1\r\n\r\n",
	"POST /a  HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"POST  /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"POST\t/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"POST /a HTTP/1.1 \r\nHost: localhost\r\n\r\n",
	"POST /a\r\nX: y HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"\r\nPOST /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Host, Content-Length\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 200-maybe\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 03\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: localhost\r\ntransfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\nTransfer-Encoding: x\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"HEAD /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
	"GET /a HTTP/2.0\r\nHost: localhost\r\n\r\n",
	"GET /a HTTP/1.2\r\nHost: localhost\r\n\r\n",
	"GET /a HTTP/0.9\r\nHost: localhost\r\n\r\n",
	"GET /a\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"get /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"GE\x00T /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: localhost\r\nX:\x01\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
	"GET http://localhost/a HTTP/1.1\r\nHost: evil\r\n\r\n",
	"GET http://u:p@localhost/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: u@localhost\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: localhost, evil\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n",
}

// whatWeChatSees sends requests to the sidecar over one connection and returns
// the requests that net/http, as a second parser, finds in what was forwarded.
func whatWeChatSees(t *testing.T, requests string) (seen []string, answers string) {
	t.Helper()
	var mu sync.Mutex
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%q: what was forwarded cannot be read: %v", requests, err)
				}
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			mu.Lock()
			seen = append(seen, fmt.Sprintf("%s %s %q", req.Method, req.URL.Path, body))
			mu.Unlock()
			reply(c, okAnswer)
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}, DefaultAppID: merchant})
	answers = rawCall(t, s.addr, requests)
	s.upstream.close()
	mu.Lock()
	defer mu.Unlock()
	return seen, answers
}

// whatNetHTTPReads returns the requests that net/http reads from the same bytes,
// up to the first that it refuses.
func whatNetHTTPReads(requests string) []string {
	var got []string
	// Empty lines before a request are to be ignored (RFC 9112, 2.2); net/http does not.
	requests = strings.TrimLeft(requests, "\r\n")
	for br := bufio.NewReader(strings.NewReader(requests)); ; {
		req, err := http.ReadRequest(br)
		if err != nil {
			return got
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return got
		}
		got = append(got, fmt.Sprintf("%s %s %q", req.Method, req.URL.Path, body))
	}
}

func TestSmuggling(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for _, request := range smuggling {
		seen, answers := whatWeChatSees(t, request+next)
		agreed := whatNetHTTPReads(request + next)
		for i, one := range seen {
			if i >= len(agreed) || one != agreed[i] {
				t.Errorf("%q:\nWeChat saw  %q\nnet/http reads %q", request, seen, agreed)
				break
			}
		}
		if len(seen) < 2 && !strings.Contains(answers, "HTTP/1.1 400") && !strings.Contains(answers, "HTTP/1.1 403") {
			t.Errorf("%q: neither forwarded nor refused: %q", request, answers)
		}
	}
}

// wantSameCall wants what went out to be the call that net/http reads from what
// came in: method, path, body, and the query but for what we take out and add.
func wantSameCall(t *testing.T, raw []byte, sent *http.Request) {
	t.Helper()
	came, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.TrimLeft(string(raw), "\r\n"))))
	if err != nil {
		return
	}
	wanted, err := io.ReadAll(came.Body)
	if err != nil {
		return
	}
	got, err := io.ReadAll(sent.Body)
	if err != nil {
		t.Fatalf("%q: body: %v", raw, err)
	}
	_, path := cutAppIDPrefix([]byte(came.URL.Path))
	if path := string(path); sent.Method != came.Method || sent.URL.Path != path && path != "" || string(got) != string(wanted) {
		t.Fatalf("%q became %s %s %q, net/http reads %s %s %q", raw, sent.Method, sent.URL.Path, got, came.Method, path, wanted)
	}
	query := appendQuery(nil, []byte(came.URL.RawQuery), hasAccessToken|hasComponentToken|hasFromAppID, "", "")
	if left, _, _ := strings.Cut(sent.URL.RawQuery, "access_token=tok-"); strings.TrimSuffix(left, "&") != string(query) && !strings.HasSuffix(left, "component_") {
		t.Fatalf("%q became the query %q, want %q and the token", raw, sent.URL.RawQuery, query)
	}
}

// Whatever bytes come, what goes out is exactly one request, the one that net/http
// reads from them, without a header of ours.
func FuzzRequest(f *testing.F) {
	for _, request := range smuggling {
		f.Add([]byte(request))
	}
	f.Add([]byte("GET /x?access_token=a HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Appid: " + merchant + "\r\n\r\n"))
	s, up := fakeServer(f, Options{DefaultAppID: merchant})
	f.Fuzz(func(t *testing.T, raw []byte) {
		up.seen = up.seen[:0]
		app := &fakeApp{request: raw, left: 1}
		if len(raw) == 0 || s.serveConn(app) != nil {
			return
		}
		if len(up.seen) == 0 {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(up.seen))))
		if err != nil {
			t.Fatalf("%q became %q: %v", raw, up.seen, err)
		}
		if n := strings.Count(string(up.seen), " HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"); n != 1 {
			t.Fatalf("%q became %q", raw, up.seen)
		}
		wantSameCall(t, raw, req)
		for name := range req.Header {
			norm := strings.ReplaceAll(strings.ToLower(name), "_", "-")
			if strings.HasPrefix(norm, "x-wxsidecar") || norm == "x-wechat-appid" || norm == "x-wechat-component" {
				t.Fatalf("%q became %q", raw, up.seen)
			}
		}
	})
}
