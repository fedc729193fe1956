package broker_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m) }

// BenchmarkStart_Program is the time from the start of the real program, on a file with that
// many authorizers which are all in use, to its answer to the first call of one.
func BenchmarkStart_Program(b *testing.B) {
	for _, n := range []int{1, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			wechat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.URL.Query().Get("access_token"))
			}))
			defer wechat.Close()
			p := startable{dir: b.TempDir(), upstream: wechat.URL, binary: programtest.Build(b)}
			store := openBolt(b, p.store())
			fill(b, store, n, time.Now())
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
			p.toFirstCall(b, merchant(0)) // has the file in the system's cache, as a restart finds it
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				took = append(took, p.toFirstCall(b, merchant(i*7919%n)))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/start-median")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/start-most")
			b.ReportMetric(0, "ns/op") // not printed then: it has the end as well
		})
	}
}

// startable is a program that is not running.
type startable struct{ dir, upstream, binary string }

func (p startable) store() string { return filepath.Join(p.dir, "store.db") }

// toFirstCall starts the program, calls for an authorizer, and ends it. It returns how long it
// took from the start to the answer.
func (p startable) toFirstCall(tb testing.TB, appID string) time.Duration {
	tb.Helper()
	key := filepath.Join(p.dir, "seal.key")
	if err := os.WriteFile(key, []byte(hex.EncodeToString(bytes.Repeat([]byte{7}, seal.KeySize))), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(p.binary, "serve")
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_COMPONENT_APPID="+componentID, "WXSIDECAR_COMPONENT_SECRET="+appSecret,
		"WXSIDECAR_COMPONENT_PUSH_TOKEN=push-token", "WXSIDECAR_COMPONENT_ENCODING_AES_KEY=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
		"WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=127.0.0.1:0", "WXSIDECAR_LISTEN_METRICS=127.0.0.1:0",
		"WXSIDECAR_LISTEN_ADMIN=127.0.0.1:0", "WXSIDECAR_DATA_DIR="+p.dir, "WXSIDECAR_STORE=bolt:"+p.store(),
		"WXSIDECAR_SEAL_KEY_FILE="+key, "WXSIDECAR_UPSTREAM_URL="+p.upstream, "WXSIDECAR_LOG_FORMAT=json",
	)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, stderr)
		_ = cmd.Wait()
	}()
	req, err := http.NewRequest(http.MethodGet, "http://"+appsAddress(tb, stderr)+"/cgi-bin/menu/get", nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("X-Wechat-Appid", appID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err != nil || len(text) != len(tokenText(0)) {
		tb.Fatalf("the first call of %s: status %d, %s, error %v; want its token", appID, resp.StatusCode, text, err)
	}
	return time.Since(begun)
}

// appsAddress reads a log until it says where apps are listened to.
func appsAddress(tb testing.TB, log io.Reader) string {
	tb.Helper()
	var seen bytes.Buffer
	for lines := bufio.NewScanner(io.TeeReader(log, &seen)); lines.Scan(); {
		var line struct{ Msg, Listener, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" && line.Listener == "apps" {
			return line.Address
		}
	}
	tb.Fatalf("the program did not start:\n%s", seen.String())
	return ""
}
