package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The whole program with -once, the sidecar built and run: what a newcomer sees.
func TestRun_Once(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("WXSIDECAR_LISTEN_APPS", "nonsense") // a newcomer's own settings must not count
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-once"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s\n%s", code, errs.String(), out.String())
	}
	wantInOrder(t, out.String(), []string{
		`503 waiting_ticket\n`, `sidecar answers +200 success`, `after +GET /tokenz: 200\n`,
		`app sends +GET http://127\.0\.0\.1:\d+/cgi-bin/menu/get\?access_token=APP-OLD-TOKEN\n +X-Wechat-Appid: wxa000000000000001\n`,
		`WeChat receives +GET /cgi-bin/menu/get\?access_token=\d\d_\S{3}…\n`, `app gets +200 \{"errcode":0`,
		`app sends +POST http://127\.0\.0\.1:\d+/wxa000000000000002/cgi-bin/message/custom/send\n.*您的订单已发货`,
		`WeChat receives +POST /cgi-bin/message/custom/send\?access_token=\d\d_\S{3}…\n.*您的订单已发货`,
		`WeChat receives +POST /cgi-bin/component/api_create_preauthcode\?component_access_token=\d\d_\S{3}…\n`,
		`refused: errcode 40001\n +WeChat receives`, `app gets +200 \{"errcode":0`, `wxsidecar_replays_total\{result="cured"\} 1\n`,
		`merchant opens +GET http://127\.0\.0\.1:\d+/wechat/wx7f00c0de00000001/authorize\n`,
		`page leads to +http://127\.0\.0\.1:\d+/cgi-bin/componentloginpage\?`, `and back to +http://127\.0\.0\.1:\d+/wechat/wx7f00c0de00000001/authorized\?`,
		`page says +connected: account wxa000000000000003\n`, `app hears +authorized wxa000000000000003\n`, `app sends +GET http://127\.0\.0\.1:\d+/wxa000000000000003/`,
		`user writes +营业到几点？\n`, `X-Wechat-Appid: wxa000000000000003\n +\{"ToUserName"`, `app answers +\{`, `user reads +您写的是：营业到几点？\n`,
		`curl -H 'X-Wechat-Appid: wxa000000000000001' http://127\.0\.0\.1:\d+/`, `curl http://127\.0\.0\.1:\d+/wxa000000000000002/`,
		`curl http://127\.0\.0\.1:\d+/tokenz `, `curl http://127\.0\.0\.1:\d+/metrics `,
		`\n  http://127\.0\.0\.1:\d+/wechat/wx7f00c0de00000001/authorize\n`,
	})
	if long := regexp.MustCompile(`_token=[^&\s…]{14,}|@@@|\d\d_\S{7,}`).FindString(out.String()); long != "" {
		t.Errorf("a secret is shown: %s", long)
	}
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "wxsidecar-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// wantInOrder checks that the patterns match one after the other.
func wantInOrder(t *testing.T, text string, patterns []string) {
	t.Helper()
	rest := text
	for _, pattern := range patterns {
		at := regexp.MustCompile(pattern).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("%s does not come (any more), in\n%s", pattern, text)
		}
		rest = rest[at[1]:]
	}
}

// It stays until it is told to end, and takes the sidecar with it.
func TestQuickstart_Stays(t *testing.T) {
	defer goleak.VerifyNone(t)
	binary, err := build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &stopAt{text: "Ctrl-C ends everything", stop: cancel}
	if err := quickstart(ctx, options{binary: binary}, out); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "wxsidecar.yaml") {
		t.Errorf("it does not say where the configuration is:\n%s", out.String())
	}
}

// stopAt calls stop once text was written.
type stopAt struct {
	bytes.Buffer
	text string
	stop func()
}

func (s *stopAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		s.stop()
	}
	return s.Buffer.Write(p)
}

// A sidecar that dies while it stays ends the program with an error, and one that
// is stopped is gone.
func TestSidecar_Dies(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	binary, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	defer w.wechat.Close()
	a, err := startApp()
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop()
	s, err := startSidecar(t.Context(), binary, dir, w, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := stay(t.Context(), w, s); err == nil || !strings.Contains(err.Error(), "ended by itself (signal: killed)") {
		t.Errorf("error %v", err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop after its end: %v", err)
	}
	if err := syscall.Kill(s.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestRun_Fails(t *testing.T) {
	defer goleak.VerifyNone(t)
	f := func(code int, part string, args ...string) {
		t.Helper()
		var errs bytes.Buffer
		if got := run(t.Context(), args, io.Discard, &errs); got != code || !strings.Contains(errs.String(), part) {
			t.Errorf("%q: exit code %d, %s; want %d and %q", args, got, errs.String(), code, part)
		}
	}
	f(0, "end after the tour", "-h")
	f(2, "not defined", "-twice")
	f(2, `unexpected argument "serve"`, "serve")
	f(1, "start the sidecar: fork/exec /nonexistent", "-sidecar", "/nonexistent")
	f(1, "the sidecar ended by itself (exit code 0)", "-sidecar", "true")
	f(1, "the sidecar ended by itself (exit status 1)", "-sidecar", "false")
}

// What is shown never holds a whole secret, whatever its form.
func TestShorten(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := shorten(in); got != want {
			t.Errorf("shorten(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("component_access_token", "component_access_token")
	f(`"preauthcode@@@`+strings.Repeat("x", 64)+`"`, `"preaut…"`)
	f(strings.Repeat("a", 31)+" "+strings.Repeat("b", 32), strings.Repeat("a", 31)+" bbbbbb…")
	g := func(in, want string) {
		t.Helper()
		if got := shortToken(in); got != want {
			t.Errorf("shortToken(%q) = %q, want %q", in, got, want)
		}
	}
	g("/a", "/a")
	g("/a?access_token=", "/a?access_token=…")
	g("/a?access_token=12345678&b=1", "/a?access_token=123456…&b=1")
	g("/a?b=1&component_access_token=12345678", "/a?b=1&component_access_token=123456…")
}

// The log is read in pieces that end anywhere.
func TestChildLog(t *testing.T) {
	var file bytes.Buffer
	l := newChildLog(&file)
	text := "no json\n" +
		`{"msg":"ready","listener":"apps","address":"127.0.0.1:1"}` + "\n" +
		`{"msg":"ready","listener":"push","address":"127.0.0.1:2"}` + "\n" +
		`{"msg":"ready","listener":"metrics","address":"127.0.0.1:3"}` + "\n" +
		`{"msg":"ready","listener":"admin","address":"127.0.0.1:4"}` + "\n" + "cut off"
	for i := range len(text) {
		if n, err := l.Write([]byte(text[i : i+1])); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	<-l.ready
	if got := l.address("apps") + l.address("push") + l.address("metrics"); got != "127.0.0.1:1127.0.0.1:2127.0.0.1:3" {
		t.Errorf("addresses %s", got)
	}
	if file.String() != text || !strings.HasPrefix(l.tail(), "  no json\n  {") || !strings.HasSuffix(l.tail(), "\n  cut off") {
		t.Errorf("file %q, tail %q", file.String(), l.tail())
	}
	for range 2 * tailLines {
		_, _ = l.Write([]byte("\n"))
	}
	if n := strings.Count(l.tail(), "\n"); n != tailLines {
		t.Errorf("%d lines are kept, want %d", n, tailLines)
	}
}
