package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == reverseProxyVerb {
		main() // the contender of that name is this program
		return
	}
	programtest.Main(m)
}

// The whole command, with the peers that this machine has.
func TestRun(t *testing.T) {
	binary := programtest.Build(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var out bytes.Buffer
	args := []string{"-binary", binary, "-rounds", "1", "-time", "10ms", "-accounts", "1,3", "-conns", "2"}
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	here, missing := available(allPeers)
	for _, want := range append(missing, "Upload 10 MiB, 2 connections", "wxsidecar with 3 accounts beside 1", "with all features on beside all off") {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	// Small loads with each number of accounts, large ones with one.
	for _, p := range here {
		rows := strings.Count(out.String(), "\n| "+p.title+" |")
		if want := map[bool]int{false: 2*2 + 2, true: 4}[p.once]; rows != want {
			t.Errorf("%s has %d rows, not %d", p.title, rows, want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	nothingIsLeft(t, temp)
}

// A machine with none of the other programs: what is missing is named with its package,
// and the rest is compared, with an upstream of our own.
func TestRun_WithoutOthers(t *testing.T) {
	binary := programtest.Build(t)
	t.Setenv("TMPDIR", t.TempDir())
	hideOthers(t)
	var out bytes.Buffer
	args := []string{"-binary", binary, "-rounds", "1", "-time", "10ms", "-accounts", "1", "-conns", "1"}
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Left out: nginx, map, as nginx is missing (Debian's package nginx-light).", "Left out: nginx + Lua, as ",
		"Left out: HAProxy, as haproxy is missing (Debian's package haproxy).", "upstream: net/http", "ratio to net/http's ReverseProxy",
		"| wxsidecar | 1 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// hideOthers has no program be found.
func hideOthers(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	before := serverFolder
	serverFolder = t.TempDir()
	t.Cleanup(func() { serverFolder = before })
}

// Ctrl-C ends everything that was started, and removes all files.
func TestRun_Interrupted(t *testing.T) {
	binary := programtest.Build(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, interrupt := context.WithCancel(t.Context())
	args := []string{"-binary", binary, "-rounds", "1000", "-time", "10ms", "-accounts", "1", "-conns", "2", "-loads", "get", "-only", "nethttp,wxsidecar"}
	err := run(ctx, args, io.Discard, writerFunc(interrupt))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	nothingIsLeft(t, temp)
}

// writerFunc is called when something is written.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) { f(); return len(p), nil }

func nothingIsLeft(t *testing.T, temp string) {
	t.Helper()
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if processes := family(os.Getpid()); len(processes) > 1 {
		t.Errorf("processes %v still run", processes[1:])
	}
}

// A call that does not arrive with its token, or whose answer is not whole, makes the
// comparison void.
func TestCall_Refused(t *testing.T) {
	hideOthers(t)
	s, err := newStage(t.TempDir(), options{accounts: []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if err := s.startUpstream(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	c, err := startDirect(t.Context(), s, peer{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := callEach(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	call := func(l load, want string) {
		t.Helper()
		client, err := dial(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		defer client.close()
		if _, err := client.call(l, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %s", err, want)
		}
	}
	short := allLoads[0]
	short.received++
	call(short, "46 bytes, not of 47")
	c.tokens[1] = "another"
	call(allLoads[0], "403")
}

// With none of the proxies that were asked for there is nothing to compare.
func TestRun_NobodyHere(t *testing.T) {
	hideOthers(t)
	var out bytes.Buffer
	err := run(t.Context(), []string{"-only", "nginx,haproxy", "-rounds", "1", "-time", "10ms", "-accounts", "1"}, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-only") || strings.Count(out.String(), "Left out: ") != 2 {
		t.Errorf("%v after %q", err, &out)
	}
}

func TestParseOptions_Refused(t *testing.T) {
	for _, args := range []string{
		"-rounds 0", "-time 1ms", "-time 1h", "-accounts 0", "-accounts 1,x", "-accounts 1000000", "-conns 5000", "-only caddy", "-loads get,put", "more",
		"-loads upload,download -conns 17,64", // nothing is left to measure
	} {
		if o, err := parseOptions(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s is taken: %+v", args, o)
		}
	}
}
