package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// docs/errors.md has every code that the data path can answer with, and no other.
func TestDocs_Errors(t *testing.T) {
	paths, err := filepath.Glob("proxy/*.go")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, code := range found(`(?:code:\s+|forbidden\(|unavailable\(|fasthttp\.Status\w+, )"([a-z_]+)"`, readText(t, path)) {
			want[code] = true
		}
	}
	for _, s := range broker.States() {
		want[s.String()] = true
	}
	delete(want, broker.StateLive.String())
	got := map[string]bool{}
	for _, row := range tableRows(readText(t, "docs/errors.md")) {
		got[row[0]] = true
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("codes (-source +document):\n%s", d)
	}
	counted := map[string]bool{}
	for _, code := range found(`wxsidecar_app_errors_total\{code="(\w+)"\} 0`, scrapeOf(metrics.New("v1"))) {
		counted[code] = true
	}
	if d := cmp.Diff(want, counted); d != "" {
		t.Errorf("codes (-source +counted from the start):\n%s", d)
	}
	for _, readme := range []string{"README.md", "README.zh-CN.md"} {
		for _, row := range tableRows(readText(t, readme)) {
			for _, code := range strings.Split(row[0], "`, `") {
				if regexp.MustCompile(`^[a-z_]+$`).MatchString(code) && !want[code] {
					t.Errorf("%s: there is no code %s", readme, code)
				}
			}
		}
	}
}

// The states in docs/architecture.md are those of the code.
func TestDocs_States(t *testing.T) {
	_, table, _ := strings.Cut(readText(t, "docs/architecture.md"), "## States of a key")
	table, _, _ = strings.Cut(table, "\n## ")
	var want, got []string
	for _, s := range broker.States() {
		want = append(want, s.String())
	}
	for _, row := range tableRows(table) {
		got = append(got, row[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("states (-code +document):\n%s", d)
	}
}
