package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoad_Proxy(t *testing.T) {
	good := func(text, want string, env Environment) {
		t.Helper()
		l := loadText(t, minimal+text, env)
		if got := l.Config.Upstream.Proxy.Reveal(); l.Err() != nil || got != want || len(l.Warnings) > 0 {
			t.Errorf("%s: %q, %v, %q", text, got, l.Err(), l.Warnings)
		}
	}
	file := filepath.Join(t.TempDir(), "proxy")
	if err := os.WriteFile(file, []byte("socks5://u:s3cr3t@10.0.0.8:1080\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good("", "", nil)
	good("upstream: {proxy: ''}\n", "", nil)
	good("upstream: {proxy: 'http://10.0.0.8:3128'}\n", "http://10.0.0.8:3128", nil)
	good("upstream: {proxy_file: "+file+"}\n", "socks5://u:s3cr3t@10.0.0.8:1080", nil)
	good("upstream: {proxy: '${WAY}'}\n", "https://h:1", Environment{"WAY": "https://h:1"})
	good("upstream: {proxy: 'http://u:${PW}@h:1'}\n", "http://u:x@h:1", Environment{"PW": "x"})
	good("", "http://h:1", Environment{"WXSIDECAR_UPSTREAM_PROXY": "http://h:1", "HTTPS_PROXY": "http://h:2"})
	good("", "socks5://u:s3cr3t@10.0.0.8:1080", Environment{"WXSIDECAR_UPSTREAM_PROXY_FILE": file})
	// A listener of that port on another machine is nobody's business.
	good("upstream: {proxy: 'http://10.0.0.8:7081'}\n", "http://10.0.0.8:7081", nil)

	bad := func(text, want string) {
		t.Helper()
		report := report(loadText(t, minimal+"upstream: {proxy: '"+text+"'}\n", nil))
		if !strings.Contains(report, "upstream.proxy: "+want) || strings.Contains(report, "s3cr3t") {
			t.Errorf("%s: %s", text, report)
		}
	}
	bad("u:s3cr3t@10.0.0.8:3128", "has no scheme")
	bad("\uFEFFhttp://u:s3cr3t@10.0.0.8:3128", "has U+FEFF (byte order mark) in it; write it again; save a file without a byte order mark")
	bad("http://u:s3cr3t@10.0.0.8:3128 ", "has white space or a control character in it; write it again")
	bad("http://u:s3cr3t@10.0.0.8", "has no port")
	bad("socks4://u:s3cr3t@10.0.0.8:1080", "the scheme is none of")
	bad("http://u:s3cr3t/x@10.0.0.8:1080", "not a URL")
	bad("http://127.0.0.1:7080", "is the sidecar's own listener listen.apps")
	bad("socks5://localhost:7081", "is the sidecar's own listener listen.push")
}

// A variable that programs follow and this one does not is told, without its value.
func TestLoad_ProxyVariables(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		env := Environment{name: "http://u:s3cr3t@10.0.0.8:3128"}
		l := loadText(t, minimal, env)
		all := strings.Join(l.Warnings, "\n")
		if l.Err() != nil || len(l.Warnings) != 1 || !strings.Contains(all, name) || !strings.Contains(all, "no effect") ||
			!strings.Contains(all, "upstream.proxy") || strings.Contains(all, "10.0.0.8") {
			t.Errorf("%s: %v, %q", name, l.Err(), l.Warnings)
		}
		if l := loadText(t, minimal+"upstream: {proxy: 'http://h:1'}\n", env); len(l.Warnings) != 0 {
			t.Errorf("%s beside the setting: %q", name, l.Warnings)
		}
	}
	if l := loadText(t, minimal, Environment{"HTTPS_PROXY": "", "NO_PROXY": "x"}); len(l.Warnings) != 0 {
		t.Errorf("%q", l.Warnings)
	}
}
