package sdk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

const (
	component = "wx7f00c0de00000001"
	shop      = "wxa000000000000001"
	own       = "wx00000000000000aa"

	componentSecret = "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0"
	ownSecret       = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
	pushToken       = "the-push-token"
	aesKey          = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

	menuPath = "/cgi-bin/menu/get"
	patience = time.Minute
)

func TestMain(m *testing.M) { programtest.Main(m) }

// TestSDKs runs each program for three rounds of calls. After the first all tokens
// expire, after the second somebody else displaces them. Then keys change.
func TestSDKs(t *testing.T) {
	binary := programtest.Build(t)
	t.Run("silenceper", func(t *testing.T) {
		s := startSidecar(t, binary, "")
		s.rounds(goProgram(t), "HTTPS_PROXY=http://"+s.address("apps"), "SSL_CERT_FILE="+s.ca)
	})
	t.Run("co-wechat-api", func(t *testing.T) {
		s := startSidecar(t, binary, "")
		s.rounds(nodeProgram(t, "--require", "./hosts.js"), "ALIAS="+s.address("https"), "NODE_EXTRA_CA_CERTS="+s.ca)
	})
	t.Run("python", func(t *testing.T) {
		s := startSidecar(t, binary, "")
		s.rounds(pythonProgram(t), "HTTPS_PROXY=http://"+s.address("apps"), "REQUESTS_CA_BUNDLE="+s.ca)
	})
	t.Run("curl", func(t *testing.T) {
		programtest.Need(t, "curl", "curl")
		s := startSidecar(t, binary, "")
		s.rounds(exec.Command("sh", "curl/run.sh"), "APPS="+s.address("apps"), "ALIAS="+s.address("https"), "CA="+s.ca)
	})
	t.Run("new key file", func(t *testing.T) { newKeyFile(t, binary) })
	t.Run("key changes", func(t *testing.T) { keyChanges(t, binary) })
}

func pythonProgram(t *testing.T) *exec.Cmd {
	t.Helper()
	// Debian's own, whatever other Python comes first in PATH.
	python := programtest.Need(t, "/usr/bin/python3", "python3")
	if out, err := exec.Command(python, "-c", "import requests").CombinedOutput(); err != nil {
		t.Fatalf("%s has no requests: install Debian's package python3-requests: %s", python, out)
	}
	return exec.Command(python, "-u", "python/main.py")
}

func nodeProgram(t *testing.T, options ...string) *exec.Cmd {
	t.Helper()
	program := exec.Command(programtest.Need(t, "node", "nodejs"), append(options, "main.js")...)
	program.Dir = programtest.NodeModules(t, "node")
	return program
}

func goProgram(t *testing.T) *exec.Cmd {
	t.Helper()
	return exec.Command(buildGo(t, "."))
}

// buildGo builds a package in the folder go, which is a module of its own, and returns the
// program's path.
func buildGo(t testing.TB, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-o", path, pkg)
	build.Dir = "go"
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build go/ (the Go module proxy must be reachable once): %v\n%s", err, out)
	}
	return path
}

// rounds runs a program for three rounds and checks what it got, what WeChat got,
// and that it never held a secret.
func (s *sidecar) rounds(program *exec.Cmd, env ...string) {
	t := s.t
	t.Helper()
	app := startApp(t, program, env)
	app.round(t, 1)
	s.wechat.ExpireAllTokens()
	app.round(t, 2)
	for _, appid := range []string{shop, own, component} {
		s.wechat.Displace(appid)
	}
	app.round(t, 3)
	app.holdsNone(t, s.wechat.Secrets())
	app.end(t)
	for _, line := range []string{shop + " holds wxs_a_" + shop + "_", own + " holds wxs_o_" + own + "_"} {
		if !strings.Contains(app.out.String(), line) {
			t.Errorf("it does not print %q:\n%s", line, app.out.String())
		}
	}
	if strings.Contains(app.out.String(), "was answered") {
		t.Errorf("it saw a token error:\n%s", app.out.String())
	}
	served := map[string]int{}
	for _, r := range s.wechat.Requests() {
		if r.Path == menuPath && r.Errcode == 0 {
			served[r.TokenAppID]++
		}
	}
	if len(served) != 2 || served[shop] < 3 || served[own] < 3 {
		t.Errorf("served for %v", served)
	}
	if s.wechat.Answered(42001) == 0 || s.wechat.Answered(40001) == 0 {
		t.Errorf("no token was stale: %d expired, %d displaced", s.wechat.Answered(42001), s.wechat.Answered(40001))
	}
	if v := s.wechat.Violations(); len(v) > 0 {
		t.Errorf("WeChat saw what it should not: %q", v)
	}
}
