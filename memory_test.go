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
	"sync/atomic"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	memoryAccount  = "wx00000000000000aa"
	memorySecret   = "own-secret"
	memoryParallel = 8
	memoryBody     = 50 << 20
	memoryGrowth   = 16 << 20

	memoryUploads  = 64
	uploadBody     = 10 << 20
	keptMemory     = 64 << 20
	staleAnswer    = `{"errcode":40001,"errmsg":"stale"}`
	uploadedAnswer = `{"errcode":0,"errmsg":"ok"}`
)

// TestMemory sends eight bodies of 50 MiB up and down at once through the real
// program, and wants them whole and its resident memory flat.
func TestMemory(t *testing.T) {
	upstream := newMemoryUpstream(t)
	pid, apps := startForMemory(t, upstream.URL)
	wantGrowth(t, pid, apps, memoryGrowth, memoryParallel, func(i int) error {
		return exchangeLarge(apps, memoryBody, i%2 == 0)
	})
}

// TestMemory_KeptUploads sends 64 of WeChat's longest uploads at once, with a token
// that is stale for each. All arrive whole, those that could be kept are sent again,
// and resident memory grows by what may be kept.
func TestMemory_KeptUploads(t *testing.T) {
	upstream := newMemoryUpstream(t)
	pid, apps := startForMemory(t, upstream.URL)
	var cured atomic.Int64
	wantGrowth(t, pid, apps, keptMemory+memoryGrowth, memoryUploads, func(int) error {
		replayed, err := uploadStale(apps)
		if replayed {
			cured.Add(1)
		}
		return err
	})
	if n := cured.Load(); n < keptMemory*3/4/uploadBody {
		t.Errorf("%d of %d uploads were cured; %d bodies could be kept at any time", n, memoryUploads, keptMemory*3/4/uploadBody)
	}
}

// wantGrowth makes that many calls at once, and wants the resident memory to grow by at
// most limit.
func wantGrowth(t *testing.T, pid int, apps string, limit int64, calls int, call func(i int) error) {
	t.Helper()
	// What the first call brings into memory is not what a large body costs.
	if err := exchangeLarge(apps, 1<<20, true); err != nil {
		t.Fatal(err)
	}
	before := memoryOf(t, pid, "VmRSS")
	// From here on the peak counts.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			if err := call(i); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	peak := memoryOf(t, pid, "VmHWM")
	t.Logf("resident before %d MiB, at most %d MiB", before>>20, peak>>20)
	if peak-before > limit {
		t.Errorf("resident memory grew by %d MiB, from %d", (peak-before)>>20, before>>20)
	}
}

// uploadStale sends an upload that meets a stale token, and reports whether the app
// did not see that.
func uploadStale(apps string) (cured bool, err error) {
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s/stale?size=%d", apps, uploadBody), &period{n: uploadBody})
	if err != nil {
		return false, err
	}
	req.ContentLength = uploadBody
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false, err
	case string(text) == staleAnswer && resp.Header.Get("X-Wxsidecar-Replay") == "memory-used-up":
		return false, nil
	case string(text) == uploadedAnswer:
		return true, nil
	default:
		return false, fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
}

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

// exchangeLarge sends a body of that size and wants one back, with its length or in
// chunks.
func exchangeLarge(apps string, size int64, sized bool) error {
	url := fmt.Sprintf("http://%s/large?size=%d&sized=%v", apps, size, sized)
	req, err := http.NewRequest(http.MethodPost, url, &period{n: size})
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return wholeBody(resp.Body, size)
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
