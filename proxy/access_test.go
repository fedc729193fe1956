package proxy

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lineWithin is how long a line of the log is waited for.
const lineWithin = 10 * time.Second

// accessLine is what the log says of one call.
type accessLine struct {
	Msg, Path, Method, AppID, Caller, Remote, Result string
	Status, Errcode                                  int
	Took, Own                                        any
	RequestID                                        string `json:"request_id"`
}

// Each call is one line while that is wanted, and none before and after. One that was refused
// has its own already.
func TestAccess(t *testing.T) {
	t.Parallel()
	answer := `{"errcode":0}`
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
	var logged lockedBuffer
	var wanted atomic.Bool
	shop := callerOf("shop", "k1")
	shop.Deny = []string{"/cgi-bin/clear_quota"}
	s := start(t, Options{
		Source: platform(), Exchange: &exchange{}, Callers: []Caller{shop}, AccessLog: &wanted,
		Log: slog.New(slog.NewJSONHandler(&logged, nil)), Upstream: UpstreamOptions{URL: up.URL},
	})
	seen := 0
	f := func(method, path, body string, want ...accessLine) {
		t.Helper()
		got := s.call(t, method, path, body, "X-Wxsidecar-Key: k1", forMerchant())
		lines := strings.FieldsFunc(logged.String(), func(r rune) bool { return r == '\n' })
		for late := time.After(lineWithin); len(lines) < seen+len(want); { // a streamed call ends after its answer
			select {
			case <-late:
				t.Fatalf("%s: no line within %s", path, lineWithin)
			case <-time.After(time.Millisecond):
			}
			lines = strings.FieldsFunc(logged.String(), func(r rune) bool { return r == '\n' })
		}
		if len(lines) != seen+len(want) {
			t.Fatalf("%s: %d new lines, want %d:\n%s", path, len(lines)-seen, len(want), logged.String())
		}
		seen = len(lines)
		for _, w := range want {
			var line accessLine
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
				t.Fatal(err)
			}
			if line.RequestID != got.header.Get("X-Wxsidecar-Request-Id") || !strings.HasPrefix(line.Remote, "127.0.0.1:") || w.Msg == AccessMessage && (line.Took == nil || line.Own == nil) {
				t.Errorf("%+v", line)
			}
			line.RequestID, line.Remote, line.Took, line.Own = "", "", nil, nil
			if line != w {
				t.Errorf("%s: %+v, want %+v", path, line, w)
			}
		}
	}
	f("GET", "/cgi-bin/menu/get", "")
	wanted.Store(true)
	ok := accessLine{Msg: AccessMessage, Path: "/cgi-bin/menu/get", Method: "GET", AppID: merchant, Caller: "shop", Result: "ok", Status: 200}
	f("GET", "/cgi-bin/menu/get", "", ok)
	answer = `{"errcode":45009}`
	refusedByWeChat := ok
	refusedByWeChat.Result, refusedByWeChat.Errcode = "errcode", 45009
	f("GET", "/cgi-bin/menu/get", "", refusedByWeChat)
	answer = strings.Repeat("x", 1<<20)
	f("GET", "/cgi-bin/menu/get", "", ok)
	f("GET", "/cgi-bin/clear_quota", "", accessLine{Msg: "call refused", Path: "/cgi-bin/clear_quota", Method: "GET", AppID: merchant, Caller: "shop"})
	local := accessLine{Msg: AccessMessage, Path: "/cgi-bin/token", Method: "GET", AppID: merchant, Caller: "shop", Result: "ok", Status: 200}
	f("GET", "/cgi-bin/token?appid="+merchant+"&secret=k1", "", local)
	wanted.Store(false)
	answer = `{"errcode":0}` // which is no stream: a line would be there before the answer
	f("GET", "/cgi-bin/menu/get", "")
	if strings.Contains(logged.String(), "k1") {
		t.Errorf("a key is in the log: %s", logged.String())
	}
}

// While nobody wants the lines they cost nothing.
func TestForward_AllocationsWithoutAccessLines(t *testing.T) {
	var wanted atomic.Bool
	s, _ := fakeServer(t, Options{AccessLog: &wanted, Callers: []Caller{callerOf("shop", "key-of-shop")}})
	wantAllocations(t, s, "GET", getRequest(), 0)
}
