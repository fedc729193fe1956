package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
)

// The metrics show what became of the last reload, and since when a configuration is in force.
func TestReloader_ShowsWhatBecameOfIt(t *testing.T) {
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	c := accountConfig(t, wechat)
	s, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.closeAll(); err != nil {
			t.Error(err)
		}
	})
	began := time.Now().Add(-time.Hour)
	s.metrics.ConfigRead(true, began)
	file := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(file, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &reloader{sidecar: s, config: c, log: s.log}
	read := func(name string) float64 {
		t.Helper()
		m := regexp.MustCompile(`(?m)^wxsidecar_config_last_reload_` + name + ` (\S+)$`).FindStringSubmatch(scrapeOf(s.metrics))
		if m == nil {
			t.Fatalf("no wxsidecar_config_last_reload_%s", name)
		}
		value, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	r.load = func() *config.Loaded { return config.Load(config.Sources{File: file}) }
	r.reload("a test")
	if ok, at := read("successful"), read("success_timestamp_seconds"); ok != 0 || at-float64(began.UnixMilli())/1000 != 0 {
		t.Errorf("after a wrong configuration: successful %g, at %f, want 0 and the time of the one in force", ok, at)
	}
	r.load = func() *config.Loaded { return &config.Loaded{Config: c} }
	r.reload("a test")
	if ok, at := read("successful"), read("success_timestamp_seconds"); ok != 1 || at-float64(began.Unix()) < 3500 {
		t.Errorf("after the right one: successful %g, at %f", ok, at)
	}
}
