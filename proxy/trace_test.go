package proxy

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	traceparent = "00-" + traceID + "-b7ad6b7169203331-01"
)

func TestValidTraceparent(t *testing.T) {
	f := func(value string, want bool) {
		t.Helper()
		if got := validTraceparent([]byte(value)); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
	f(traceparent, true)
	f("cc"+traceparent[2:], true)
	f("cc"+traceparent[2:]+"-what-comes", true)
	f("cc"+traceparent[2:]+"0", false)
	f(traceparent+"-0", false)
	f("ff"+traceparent[2:], false)
	f("", false)
	f(traceparent[:54], false)
	f(strings.ToUpper(traceparent), false)
	f("00-"+strings.Repeat("0", 32)+"-b7ad6b7169203331-01", false)
	f("00-"+traceID+"-0000000000000000-01", false)
	f(strings.Replace(traceparent, "-b7", "_b7", 1), false)
	f(strings.Replace(traceparent, "b7", "g7", 1), false)
}

// A valid trace goes on as it came, and nothing of another one.
func TestReadHead_Traces(t *testing.T) {
	f := func(want string, in ...string) {
		t.Helper()
		got, h, fault := readHead(nil, lines(append(in, "A: b")...))
		if fault != nil || string(got) != want+"A: b\r\n" {
			t.Errorf("%q: %q, %v; want %q", in, got, fault, want)
		}
		if valid := h.traceparent != nil; valid != strings.Contains(want, "raceparent") {
			t.Errorf("%q: traceparent %q", in, h.traceparent)
		}
	}
	f("Traceparent: "+traceparent+"\r\ntracestate: a=b\r\n", "Traceparent: "+traceparent, "tracestate: a=b")
	f("tracestate: a=b\r\ntraceparent: "+traceparent+"\r\n", "tracestate: a=b", "traceparent: "+traceparent)
	f("", "traceparent: 00-nonsense-01", "tracestate: a=b")
	f("", "tracestate: a=b")
	f("", "traceparent: "+traceparent, "traceparent: "+traceparent, "tracestate: a=b")
	f("")
}

// The trace is in each line about the call, and WeChat gets it.
func TestServe_Traces(t *testing.T) {
	t.Parallel()
	f := func(makes bool, sent, wantParent string) {
		t.Helper()
		seen := make(chan string, 8)
		up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
			head, _, _ := readRequest(br)
			seen <- head
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"))
		})
		var logged lockedBuffer
		s := start(t, Options{
			Source: platform(), MakeTraces: makes, Log: slog.New(slog.NewJSONHandler(&logged, nil)), Upstream: UpstreamOptions{URL: up.url},
		})
		headers := []string{forMerchant()}
		if sent != "" {
			headers = append(headers, "Traceparent: "+sent)
		}
		s.call(t, http.MethodPost, "/cgi-bin/menu/get", "b", headers...)
		head := <-seen
		m := regexp.MustCompile(`(?mi)^traceparent: ([^\r]*)`).FindStringSubmatch(head)
		if wantParent == "" {
			if m != nil || strings.Contains(logged.String(), "trace_id") {
				t.Errorf("make %t, sent %q: %q, %s", makes, sent, m, logged.String())
			}
			return
		}
		if m == nil || !regexp.MustCompile("^"+wantParent+"$").MatchString(m[1]) || !validTraceparent([]byte(m[1])) || !strings.Contains(logged.String(), `"trace_id":"`+m[1][3:35]+`"`) {
			t.Errorf("make %t, sent %q: %q, %s", makes, sent, m, logged.String())
		}
	}
	const ours = `00-[0-9a-f]{32}-[0-9a-f]{16}-00`
	f(false, "", "")
	f(false, traceparent, traceparent)
	f(false, "nonsense", "")
	f(true, traceparent, traceparent)
	f(true, "nonsense", ours)
	f(true, "", ours)
}

// No two calls get one trace.
func TestMakeTrace_Differs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		r := &request{}
		r.makeTrace()
		seen[r.traceID()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d traces", len(seen))
	}
}

// A trace costs a call no allocation, neither one that came nor one that is made.
func TestForward_AllocationsWithTraces(t *testing.T) {
	s, _ := fakeServer(t, Options{MakeTraces: true})
	request := "GET /cgi-bin/menu/get HTTP/1.1\r\nHost: localhost\r\n" + forMerchant() + "\r\n%s\r\n"
	wantAllocations(t, s, "made", []byte(strings.Replace(request, "%s", "", 1)), 0)
	wantAllocations(t, s, "came", []byte(strings.Replace(request, "%s", "traceparent: "+traceparent+"\r\ntracestate: a=b\r\n", 1)), 0)
}
