package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
)

// A caller has each of its keys.
func TestProxyCallers(t *testing.T) {
	one, two := strings.Repeat("01", 32), strings.Repeat("AB", 32)
	callers, err := proxyCallers([]config.Caller{{Name: "a", KeySHA256: config.OneOrMore{one, two}}})
	if err != nil || len(callers) != 1 || len(callers[0].KeySHA256) != 2 || callers[0].KeySHA256[1][0] != 0xab {
		t.Errorf("%v, %v", callers, err)
	}
	if _, err := proxyCallers([]config.Caller{{Name: "a", KeySHA256: config.OneOrMore{one, two[1:]}}}); err == nil {
		t.Error("a hash of 63 digits is taken")
	}
}

func TestNewLogger(t *testing.T) {
	f := func(level, format string, wantText, wantDebug bool) {
		t.Helper()
		var out bytes.Buffer
		log := newLogger(&out, config.Log{Level: level, Format: format}, &slog.LevelVar{})
		log.Debug("d")
		log.Error("e")
		if got := strings.Contains(out.String(), "level=ERROR"); got != wantText {
			t.Errorf("%s: %s", format, out.String())
		}
		if got := strings.Contains(out.String(), "DEBUG"); got != wantDebug {
			t.Errorf("%s: %s", level, out.String())
		}
	}
	f("info", "text", true, false)
	f("debug", "json", false, true)
	f("error", "auto", false, false) // a buffer is no terminal
}

// A start that fails leaves nothing open: the second finds port and store free.
func TestNewSidecar_FailureClosesAll(t *testing.T) {
	c := config.Default()
	c.Listen = config.Listen{Apps: "127.0.0.1:0", Push: "127.0.0.1:0", Metrics: "unix:///nonexistent/socket", Admin: config.Off}
	c.Accounts = []config.Account{{AppID: scriptAccount, Secret: secret.New("x")}}
	c.DataDir = t.TempDir()
	c.Store = secret.New("bolt:" + c.DataDir + "/wx.db")
	for range 2 {
		_, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
		want := "listen.metrics unix:///nonexistent/socket: cannot listen: bind: no such file or directory; the folder of the socket does not exist: make it"
		if err == nil || err.Error() != want {
			t.Fatalf("got %v", err)
		}
	}
}

func TestListen_SaysWhatToDo(t *testing.T) {
	_, err := listen("listen.push", "192.0.2.1:0", 0o660)
	want := "listen.push 192.0.2.1:0: cannot listen: bind: cannot assign requested address; this machine has no such address"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestSecondSignal(t *testing.T) {
	f := func(first, again os.Signal, after time.Duration, want bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 1)
			second := secondSignal(signals, first)
			time.Sleep(after)
			signals <- again
			synctest.Wait()
			if got := len(second) == 1; got != want {
				t.Errorf("%s, and %s after %s: ends at once is %v", first, again, after, got)
			}
			close(signals)
		})
	}
	f(syscall.SIGTERM, syscall.SIGTERM, 0, false) // timeout(1), to us and to our group
	f(syscall.SIGTERM, syscall.SIGTERM, 2*sameSignal, true)
	f(syscall.SIGTERM, syscall.SIGINT, 0, true)
	f(syscall.SIGTERM, syscall.SIGHUP, time.Hour, false)
}

// A faulty change is told once, not at each look.
func TestReloader_FaultIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(minimal)
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	s, err := newSidecar(t.Context(), accountConfig(t, wechat), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.closeAll(); err != nil {
			t.Error(err)
		}
	})
	var out bytes.Buffer
	load := func() *config.Loaded { return config.Load(config.Sources{File: path}) }
	first := load()
	r := &reloader{sidecar: s, config: first.Config, files: first.Files, load: load, log: slog.New(slog.NewTextHandler(&out, nil))}
	r.poll()
	if out.Len() != 0 {
		t.Errorf("a file that is the same is read again:\n%s", &out)
	}
	write("nonsense: 1\n")
	for range 3 {
		r.poll()
	}
	if n := strings.Count(out.String(), "the old one stays in force"); n != 1 {
		t.Errorf("a faulty file is told %d times:\n%s", n, &out)
	}
}

// A renewal that is under way when the sidecar is told to stop has the whole of
// shutdown.grace to end: WeChat may have replaced the token already.
func TestStop_WaitsForARenewal(t *testing.T) {
	t.Parallel()
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	wechat.AddAccount(scriptAccount, scriptAppSecret)
	c := accountConfig(t, wechat)
	given, release := make(chan struct{}, 1), make(chan struct{})
	c.Upstream.URL = holdAnswers(t, c.Upstream.URL, "/cgi-bin/stable_token", given, release)
	s, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.brokerGrace = 0 // no time but the grace
	cancel := s.stopBroker
	s.stopBroker = func() {
		cancel()
		close(release)
	}
	s.start()
	<-given
	if err := s.stop(config.Shutdown{Grace: time.Hour}); err != nil {
		t.Error(err)
	}
	if n := wechat.TokensIssued(scriptAccount); n != 1 {
		t.Errorf("WeChat gave %d tokens", n)
	}
	if s, err = newSidecar(t.Context(), c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.closeAll() }()
	if missing := s.broker.Missing(); len(missing) != 0 {
		t.Errorf("the token that WeChat gave is not in the store: %+v", missing)
	}
}

// holdAnswers returns the address of a server between us and WeChat that says when
// WeChat has answered a call of path, and keeps the answer until release is closed.
func holdAnswers(t *testing.T, wechat, path string, given chan<- struct{}, release <-chan struct{}) string {
	t.Helper()
	to, err := url.Parse(wechat)
	if err != nil {
		t.Fatal(err)
	}
	between := httputil.NewSingleHostReverseProxy(to)
	between.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Path != path {
			return nil
		}
		select {
		case given <- struct{}{}:
		default: // said already
		}
		<-release
		return nil
	}
	server := httptest.NewServer(between)
	t.Cleanup(server.Close)
	return server.URL
}

// SIGHUP is the operator's word that quotas were cleared.
func TestWatch_SIGHUPHasQuotasTriedAgain(t *testing.T) {
	t.Parallel()
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	wechat.AddAccount(scriptAccount, scriptAppSecret)
	wechat.Fault("/cgi-bin/stable_token", wechattest.Fault{Errcode: 45009})
	c := accountConfig(t, wechat)
	s, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	for s.broker.Missing()[0].State != "quota_exhausted" {
		runtime.Gosched()
	}
	wechat.ClearFaults()
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGHUP
	r := &reloader{sidecar: s, config: c, load: func() *config.Loaded { return &config.Loaded{Config: c} }, log: s.log}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() {
		_, err := s.watch(ctx, r, signals)
		watched <- err
	}()
	for len(s.broker.Missing()) > 0 {
		runtime.Gosched()
	}
	cancel()
	if err := errors.Join(<-watched, s.stop(config.Shutdown{Grace: 30 * time.Second})); err != nil {
		t.Error(err)
	}
}

// accountConfig is the configuration of one own account with its WeChat.
func accountConfig(t *testing.T, wechat *wechattest.Server) config.Config {
	t.Helper()
	c := config.Default()
	c.Listen = config.Listen{Apps: "127.0.0.1:0", Push: config.Off, Metrics: config.Off, Admin: config.Off}
	c.Accounts = []config.Account{{AppID: scriptAccount, Secret: secret.New(scriptAppSecret)}}
	c.Upstream.URL = wechat.Start()
	c.Upstream.Fallback = nil
	c.DataDir = t.TempDir()
	c.Store = secret.New("bolt:" + c.DataDir + "/wx.db")
	return c
}
