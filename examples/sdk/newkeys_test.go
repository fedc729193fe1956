package sdk

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// appKey is what the programs send as their secret.
const appKey = "held-by-wxsidecar"

// callersWith is a configuration in which the programs are a caller, with these keys.
func callersWith(keys ...string) string {
	hashes := make([]string, len(keys))
	for i, key := range keys {
		hashes[i] = fmt.Sprintf("%x", sha256.Sum256([]byte(key)))
	}
	return "callers: [{name: app, key_sha256: [" + strings.Join(hashes, ", ") + "]}]"
}

// newKeyFile starts the sidecar anew with an empty store and a new key file,
// as after a redeploy without a volume: all handles are void. Programs that have run
// all the while are back with their next call, and make none twice.
func newKeyFile(t *testing.T, binary string) {
	programs := map[string]func(*testing.T) *exec.Cmd{
		"co-wechat-api": func(t *testing.T) *exec.Cmd { return nodeProgram(t) },
		"python":        pythonProgram,
	}
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			s := startSidecar(t, binary, callersWith(appKey))
			way := relayTo(t, s.address("apps"))
			app := startApp(t, program(t), []string{"BASE_URL=http://" + way.address()})
			app.round(t, 1)
			s.stop()
			for _, name := range []string{storeFile, "wxsidecar.key"} {
				if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s.run()
			s.light()
			way.leads(s.address("apps"))
			app.round(t, 2)
			app.end(t)
			s.await("a void handle", func(l logLine) bool { return strings.HasPrefix(l.Error, "bad_handle") })
			sent := 0
			for _, r := range s.wechat.Requests() {
				if r.Path == "/cgi-bin/message/custom/send" && r.Errcode == 0 {
					sent++
				}
			}
			if sent != 4 {
				t.Errorf("%d messages were sent, want one for each account and round", sent)
			}
		})
	}
}

// keyChanges has the key of an app change by way of a list of both: no handle
// is void meanwhile, so that SDKs that never fetch anew notice nothing either.
func keyChanges(t *testing.T, binary string) {
	s := startSidecar(t, binary, callersWith(appKey))
	key := "HTTPS_PROXY=http://any:" + appKey + "@" + s.address("apps")
	app := startApp(t, goProgram(t), []string{key, "SSL_CERT_FILE=" + s.ca})
	app.round(t, 1)
	for i, keys := range [][]string{{appKey, "the-next-key"}, {"the-next-key", appKey}} {
		s.configure(callersWith(keys...))
		s.hangUp()
		s.awaitNth(i+1, "the new configuration", func(l logLine) bool { return l.Msg == "configuration reloaded" && l.Why == "SIGHUP" })
		app.round(t, i+2)
	}
	app.end(t)
	if text, _ := s.log.read(); strings.Contains(text, "bad_handle") {
		t.Error("a handle was void")
	}
}

// relay is where apps call, while the sidecar behind it changes.
type relay struct {
	listener net.Listener
	target   atomic.Pointer[string]
}

// relayTo returns a relay that leads to address until the test ends.
func relayTo(t *testing.T, address string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{listener: l}
	r.leads(address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c)
		}
	}()
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) leads(address string) { r.target.Store(&address) }

// pass carries bytes both ways until either side ends.
func (r *relay) pass(c net.Conn) {
	defer func() { _ = c.Close() }()
	up, err := net.Dial("tcp", *r.target.Load())
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(up, c)
		_ = up.Close()
	}()
	_, _ = io.Copy(c, up)
}
