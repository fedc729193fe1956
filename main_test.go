package main

import (
	"runtime/debug"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run the program as a process of its own: this test binary under
// another name.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"wxsidecar": main, "receiver": receiver})
}

func TestVersionOf(t *testing.T) {
	f := func(info *debug.BuildInfo, want string) {
		t.Helper()
		if got := versionOf(info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	module := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	f(nil, "devel")
	f(module(""), "devel")
	f(module("v1.2.3", revision), "v1.2.3")
	f(module("(devel)", revision), "devel-0123456789ab")
	f(module("(devel)", revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "devel-0123456789ab+dirty")
}
