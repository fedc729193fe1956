package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Redis store in each form and from each source. No network is asked: these hosts are nowhere.
func TestLoad_RedisStore(t *testing.T) {
	dir := t.TempDir()
	key, password, url := filepath.Join(dir, "key"), filepath.Join(dir, "password"), filepath.Join(dir, "url")
	const inFile = "redis://:fromfile@redis.invalid"
	for path, text := range map[string]string{key: strings.Repeat("1", 64), password: "s3cr3t\n", url: inFile + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(text string, environ []string, wantStore, wantDataDir string) {
		t.Helper()
		l := loadText(t, minimal+"seal: {key_file: "+key+"}\n"+text, NewEnvironment(environ))
		if l.Err() != nil || len(l.Warnings) > 0 {
			t.Errorf("%q: %v %q", text, l.Err(), l.Warnings)
		}
		if store := l.Config.Store.Reveal(); store != wantStore || !IsRedis(store) {
			t.Errorf("%q: store %s", text, store)
		}
		if l.Config.DataDir != wantDataDir {
			t.Errorf("%q: data_dir %q, want %q", text, l.Config.DataDir, wantDataDir)
		}
	}
	for _, store := range []string{
		"redis://redis.invalid", "rediss://u:p%40@redis.invalid:6380/3?server_name=r", "redis://r.invalid?password_file=" + password,
		"redis-sentinel://u:p@a.invalid,b.invalid/mymaster/1?tls=true", "redis-cluster://a.invalid,[::1]:7000?prefix=wx",
	} {
		f("store: '"+store+"'\n", nil, store, "")
		f("", []string{"WXSIDECAR_STORE=" + store}, store, "")
	}
	f("store: 'redis://u:${PW}@r.invalid'\n", []string{"PW=x%2Fy"}, "redis://u:x%2Fy@r.invalid", "")
	f("store_file: "+url+"\n", nil, inFile, "")
	f("store: redis://r.invalid\ndata_dir: "+dir+"\n", nil, "redis://r.invalid", dir)
}
