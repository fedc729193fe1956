package browser_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/browsertest"
)

const (
	operatorsKey = "the-key-of-the-operators"
	hostile      = `<script>document.title="hacked"</script><img src=x onerror="document.title='hacked'">`
)

// TestPage has Chromium do what operators do. SCREENSHOTS names a folder for pictures of the
// page; PICTURES one for the two in docs/images.
func TestPage(t *testing.T) {
	s, keyed := troubled(t), newSidecar(t)
	sum := sha256.Sum256([]byte(operatorsKey))
	keyed.more = "admin: {key_sha256: " + hex.EncodeToString(sum[:]) + "}\n"
	keyed.start()
	// What happens to the sidecar at the program's word.
	control := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cure":
			s.sim.RefuseIP(own, false)
			s.renew(own)
		case "/stop":
			_ = s.process.Process.Signal(syscall.SIGSTOP)
		case "/go":
			_ = s.process.Process.Signal(syscall.SIGCONT)
		}
	}))
	t.Cleanup(control.Close)
	t.Cleanup(func() { _ = s.process.Process.Signal(syscall.SIGCONT) })
	pictures := os.Getenv("PICTURES")
	if pictures != "" {
		var err error
		if pictures, err = filepath.Abs(pictures); err != nil {
			t.Fatal(err)
		}
	}
	browsertest.Run(t, "PAGE="+s.url("/"), "KEYED="+keyed.url("/"), "KEY="+operatorsKey, "CONTROL="+control.URL,
		"OWN="+own, "MERCHANT="+s.merchants[1], "PICTURES="+pictures)
}

// troubled is a sidecar that works and has some troubles.
func troubled(t *testing.T) *sidecar {
	t.Helper()
	s := newSidecar(t)
	s.sim.RefuseIP(own, true)
	for _, m := range s.merchants {
		s.sim.SetProfile(component, m, wechattest.Profile{NickName: hostile})
	}
	s.start()
	s.ticket()
	for _, m := range s.merchants {
		s.call(m)
	}
	s.sim.Fault("/cgi-bin/component/api_authorizer_token", wechattest.Fault{AppID: s.merchants[2], Errcode: 45009, Errmsg: hostile})
	s.renew(s.merchants[2])
	s.sim.VoidRefreshToken(component, s.merchants[0])
	s.renew(s.merchants[0])
	return s
}
