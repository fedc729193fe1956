//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// period yields n bytes that repeat at a length that no buffer has, so that a
// shift, a gap or a swap of pieces changes the hash.
type period struct{ n, at int64 }

const periodBytes = 1_000_003

var periodBlock = sync.OnceValue(func() []byte {
	b := make([]byte, periodBytes)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
})

// Read implements [io.Reader].
func (p *period) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.n-p.at)]
	n := copy(b, periodBlock()[p.at%periodBytes:])
	p.at += int64(n)
	return n, nil
}

// wholeBody wants r to be n bytes of a period, by hash.
func wholeBody(r io.Reader, n int64) error {
	got, want := sha256.New(), sha256.New()
	size, err := io.Copy(got, r)
	if err != nil || size != n {
		return fmt.Errorf("%d of %d bytes: %w", size, n, errors.Join(err, io.ErrUnexpectedEOF))
	}
	if _, err := io.Copy(want, &period{n: n}); err != nil {
		return err
	}
	if string(got.Sum(nil)) != string(want.Sum(nil)) {
		return errors.New("the bytes differ")
	}
	return nil
}

// newMemoryUpstream is a WeChat that gives tokens and, at /large, takes a body and
// answers with one.
func newMemoryUpstream(t *testing.T) *httptest.Server {
	sim := wechattest.New(wechattest.Options{})
	sim.AddAccount(memoryAccount, memorySecret)
	// Only the first token is stale; what the uploads bring is any other.
	firstToken := sync.OnceValue(func() string { return sim.CurrentToken(memoryAccount) })
	mux := http.NewServeMux()
	mux.Handle("/", sim)
	mux.HandleFunc("POST /large", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		if err == nil {
			err = wholeBody(r.Body, size)
		}
		if err == nil && r.URL.Query().Get("access_token") != sim.CurrentToken(memoryAccount) {
			err = errors.New("the token is missing")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		if r.URL.Query().Get("sized") == "true" {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		_, _ = io.Copy(w, &period{n: size})
	})
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		if err != nil || r.URL.Query().Get("access_token") == "" {
			http.Error(w, "no size, or no token", http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, &period{n: size})
	})
	mux.HandleFunc("POST /stale", func(w http.ResponseWriter, r *http.Request) {
		if err := wholeBody(r.Body, uploadBody); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		answer := uploadedAnswer
		if r.URL.Query().Get("access_token") == firstToken() {
			answer = staleAnswer
		}
		_, _ = io.WriteString(w, answer)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// startForMemory builds and starts the program, and returns its pid and the
// address for apps.
func startForMemory(t *testing.T, upstream string) (pid int, apps string) {
	t.Helper()
	binary, dir := buildProgram(t)
	return startProgram(t, binary, dir, []string{"WXSIDECAR_UPSTREAM_URL=" + upstream})
}

// startProgram starts the program with one account in dir, and env beside, until the
// test ends. It returns its pid and the address for apps.
func startProgram(t *testing.T, binary, dir string, env []string) (pid int, apps string) {
	t.Helper()
	cmd := exec.Command(binary, "serve")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_ACCOUNTS_0_APPID="+memoryAccount, "WXSIDECAR_ACCOUNTS_0_SECRET="+memorySecret,
		"WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=off",
		"WXSIDECAR_LISTEN_METRICS=off", "WXSIDECAR_LISTEN_ADMIN=off",
		"WXSIDECAR_LOG_FORMAT=json",
	)
	cmd.Env = append(cmd.Env, env...)
	return startCommand(t, cmd, "apps")
}

// startCommand starts the program as cmd has it until the test ends. It returns its
// pid and the address of one of its listeners.
func startCommand(t *testing.T, cmd *exec.Cmd, listener string) (pid int, address string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var seen strings.Builder
	for lines := bufio.NewScanner(stderr); address == "" && lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
		var line struct{ Msg, Listener, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" && line.Listener == listener {
			address = line.Address
		}
	}
	if address == "" {
		t.Fatalf("the program did not start:\n%s", seen.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return cmd.Process.Pid, address
}

// memoryOf returns a line of /proc/pid/status in bytes.
func memoryOf(t *testing.T, pid int, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			var kib int64
			if _, err := fmt.Sscanf(value, "%d kB", &kib); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return kib << 10
		}
	}
	t.Fatalf("%s is not in /proc/%d/status", name, pid)
	return 0
}

// resetPeak has VmHWM be the peak from here on.
func resetPeak(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// together makes so many calls at once.
func together(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			if err := call(i); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	calls.Wait()
}
