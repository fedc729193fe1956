package main

import (
	"debug/buildinfo"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// THIRD_PARTY_LICENSES is what make generate makes, and has every module that is linked.
func TestLicenses(t *testing.T) {
	text := readText(t, "THIRD_PARTY_LICENSES")
	made, err := exec.Command(".ci/licenses").Output()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(made), text); d != "" {
		t.Errorf("THIRD_PARTY_LICENSES is not of today: run make generate (-made +committed)\n%s", d)
	}
	info, err := buildinfo.ReadFile(mustBuild(t, shippedBuild))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if !strings.Contains(text, "\n"+m.Path+"\n") {
			t.Errorf("no licence of %s is found in its folder; .ci/licenses looks for the usual names", m.Path)
		}
	}
}
