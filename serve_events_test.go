package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
)

// eventWorld is a sidecar with one component, and WeChat before and behind it.
type eventWorld struct {
	t       *testing.T
	sim     *wechattest.Server
	config  config.Config
	sidecar *sidecar
}

// newEventWorld starts a sidecar whose component has a token.
func newEventWorld(t *testing.T, adjust func(*config.Config)) *eventWorld {
	t.Helper()
	w := &eventWorld{t: t}
	w.sim = wechattest.New(wechattest.Options{PushRetry: time.Millisecond, Pusher: w})
	t.Cleanup(w.sim.Close)
	w.sim.AddComponent(wechattest.Component{
		AppID: scriptComponent, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey,
		PushURL: "http://push.invalid/wechat/" + scriptComponent + "/event",
	})
	w.sim.AddAuthorizer(scriptComponent, scriptAuthorizer)
	w.config = accountConfig(t, w.sim)
	w.config.Listen.Push = "127.0.0.1:0"
	w.config.Components = []config.Component{{
		AppID: scriptComponent, Secret: secret.New(scriptAppSecret), PushToken: secret.New(scriptPushToken), EncodingAESKey: secret.New(scriptAESKey),
	}}
	adjust(&w.config)
	s, err := newSidecar(t.Context(), w.config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.sidecar = s
	s.start()
	t.Cleanup(func() {
		if err := s.stop(config.Shutdown{Grace: time.Minute}); err != nil {
			t.Error(err)
		}
	})
	if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
		t.Fatal(err)
	}
	w.mustCall()
	return w
}

// RoundTrip sends WeChat's pushes to the sidecar.
func (w *eventWorld) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = w.address("listen.push")
	return http.DefaultTransport.RoundTrip(req)
}

func (w *eventWorld) address(key string) string {
	w.t.Helper()
	return addressOf(w.t, w.sidecar, key)
}

// addressOf returns the address of a listener, by its key.
func addressOf(t *testing.T, s *sidecar, key string) string {
	t.Helper()
	for _, l := range s.traffic {
		if l.key == key {
			return l.listener.Addr().String()
		}
	}
	t.Fatalf("there is no listener %s", key)
	return ""
}

// mustCall makes a call for the merchant, as an app does.
func (w *eventWorld) mustCall() {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+w.address("listen.apps")+"/cgi-bin/menu/get", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Wechat-Appid", scriptAuthorizer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `"errcode":0`) {
		w.t.Errorf("a call for the merchant: %s %s, %v", resp.Status, body, err)
	}
}

// push pushes the n-th event.
func (w *eventWorld) push(n int) error {
	return w.sim.Push(w.t.Context(), scriptComponent, wechattest.Event{
		InfoType: "notify_3rd_wxa_auth", Extra: fmt.Sprintf("<appid>%s</appid><n>%d</n>", scriptAuthorizer, n),
	})
}

// eventApp is an app; what it got comes out of the channel. A nil answer is success.
func eventApp(t *testing.T, answer http.HandlerFunc) (url string, got <-chan string) {
	t.Helper()
	bodies := make(chan string, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if answer != nil {
			answer(w, r)
		}
		bodies <- string(body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, bodies
}

func mustReceive(t *testing.T, got <-chan string, want string) {
	t.Helper()
	select {
	case body := <-got:
		if !strings.Contains(body, want) {
			t.Errorf("the app got %s, want one with %s", body, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("the app got nothing, want %s", want)
	}
}

// An app that hears of an authorization can call for the merchant at once. It never hears of
// tickets.
func TestEvents_TheTokenComesFirst(t *testing.T) {
	t.Parallel()
	var w *eventWorld
	url, got := eventApp(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Wechat-Info-Type") == wechattest.InfoAuthorized {
			w.mustCall()
		}
	})
	w = newEventWorld(t, func(c *config.Config) { c.Events = []config.Event{{URL: url, Format: "json"}} })
	w.sim.Fault("/cgi-bin/component/api_query_auth", wechattest.Fault{Latency: 500 * time.Millisecond})
	w.sim.Revoke(scriptComponent, scriptAuthorizer)
	if err := w.sim.Push(t.Context(), scriptComponent, wechattest.Event{InfoType: wechattest.InfoUnauthorized, AuthorizerAppID: scriptAuthorizer}); err != nil {
		t.Fatal(err)
	}
	code := w.sim.Authorize(scriptComponent, scriptAuthorizer)
	if err := w.sim.Push(t.Context(), scriptComponent, w.sim.AuthorizedEvent(scriptAuthorizer, code, false)); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, got, `"InfoType":"unauthorized"`)
	mustReceive(t, got, `"InfoType":"authorized"`)
}

// Targets that hang, answer without end, redirect or break off cost only their own events.
func TestEvents_HostileTargets(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	var urls []string
	for _, answer := range []http.HandlerFunc{
		func(http.ResponseWriter, *http.Request) { <-ended },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10<<20)) },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		url, _ := eventApp(t, answer)
		urls = append(urls, url)
	}
	t.Cleanup(func() { close(ended) })
	url, got := eventApp(t, nil)
	w := newEventWorld(t, func(c *config.Config) {
		for _, hostile := range append(urls, "http://169.254.169.254/latest/meta-data/", url) {
			c.Events = append(c.Events, config.Event{URL: hostile})
		}
	})
	const events = 100
	for n := range events {
		if err := w.push(n); err != nil {
			t.Fatal(err)
		}
	}
	for n := range events {
		mustReceive(t, got, fmt.Sprintf("<n>%d</n>", n))
	}
	if waiting, dead, _ := w.sidecar.events.Stats(); waiting != events || dead != 0 {
		t.Errorf("%d events wait for the hostile targets and %d are dead, want %d and 0", waiting, dead, events)
	}
}

// A reload while events wait and while they come loses none.
func TestEvents_Reload(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil { // nobody listens there
		t.Fatal(err)
	}
	nowhere, nothing := config.Event{URL: "http://" + closed.Addr().String()}, []config.Event(nil)
	url, got := eventApp(t, nil)
	w := newEventWorld(t, func(c *config.Config) { c.Events = []config.Event{nowhere} })
	reload := func(events []config.Event) {
		t.Helper()
		changed := w.config
		changed.Events = events
		if err := w.sidecar.configure(&changed); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		if err := w.push(n); err != nil {
			t.Fatal(err)
		}
	}
	reload(nothing)
	reload([]config.Event{{URL: url}})
	for n := 10; n < 20; n++ {
		if err := w.push(n); err != nil {
			t.Fatal(err)
		}
		reload([]config.Event{nowhere, {URL: url}})
		reload([]config.Event{{URL: url, InfoTypes: []string{"notify_3rd_wxa_auth"}}})
	}
	for n := range 20 {
		mustReceive(t, got, fmt.Sprintf("<n>%d</n>", n))
	}
}

// At the bound an event is not acknowledged, and tickets still are.
func TestEvents_Bound(t *testing.T) {
	t.Parallel()
	up := make(chan struct{})
	url, got := eventApp(t, func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-up:
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w := newEventWorld(t, func(c *config.Config) {
		c.Events, c.Limits.Outbox = []config.Event{{URL: url}}, 2000
	})
	n := 0
	for ; n < 100 && w.push(n) == nil; n++ {
	}
	if n < 2 || n > 10 {
		t.Fatalf("%d events of some 500 bytes are in 2000", n)
	}
	if err := w.push(n); err == nil || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("an event beyond the bound: %v", err)
	}
	if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
		t.Errorf("a ticket: %v", err)
	}
	close(up)
	delivered := func() bool { waiting, dead, _ := w.sidecar.events.Stats(); return waiting+dead == 0 }
	await(t, "the app takes what waits", delivered)
	if err := w.push(n); err != nil {
		t.Errorf("an event after the app took the others: %v", err)
	}
	await(t, "the app takes the last event", delivered)
	have := map[string]bool{}
	for range len(got) {
		have[eventNumber.FindString(<-got)] = true
	}
	if len(have) != n+1 {
		t.Errorf("the app got %v, want %d events", have, n+1)
	}
}
