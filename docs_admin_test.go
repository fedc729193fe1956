package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sourceOf returns the source of a package, without its tests.
func sourceOf(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			all += readText(t, path)
		}
	}
	return all
}

// docs/admin.md has every error, finding and operation of the admin API, and no other.
func TestDocs_AdminAPI(t *testing.T) {
	text, source := readText(t, "docs/admin.md"), sourceOf(t, "proxy/admin")
	section := func(from, to string) (codes []string) {
		_, part, _ := strings.Cut(text, from)
		part, _, _ = strings.Cut(part, to)
		for _, row := range tableRows(part) {
			codes = append(codes, row[0])
		}
		slices.Sort(codes)
		return codes
	}
	f := func(what string, want, got []string) {
		t.Helper()
		slices.Sort(want)
		if d := cmp.Diff(slices.Compact(want), got); d != "" {
			t.Errorf("%s (-source +document):\n%s", what, d)
		}
	}
	f("errors", found(`fault\(http\.Status\w+, "(\w+)"`, source), section("## Errors", "\n## "))
	f("findings", found(`Code: "(\w+)"`, source), section("## Findings", "\n## "))
	var operations []string
	for _, operation := range readOpenAPI(t).operations() {
		if !strings.HasSuffix(operation, "openapi.yaml") && !strings.Contains(operation, "{id}") && operation != "POST /api/v1/log" {
			operations = append(operations, operation)
		}
	}
	f("operations", append(operations, "GET /debug/pprof/"), section("## What there is", "\n## "))
}

// A finding leads to a section of the runbook that exists, in each language.
func TestDocs_RunbookSectionsExist(t *testing.T) {
	source := sourceOf(t, "proxy/admin")
	named := append(found(`Runbook: "([^"]+)"`, source), found(`(?m)^\t\treturn "[^"]+", "([^"]+)"$`, source)...)
	for _, page := range []string{"docs/operations.md", "docs/operations.zh-CN.md"} {
		anchors := anchorsOf(readText(t, page))
		for _, runbook := range named {
			if !slices.Contains(anchors, runbook) {
				t.Errorf("%s has no section %s", page, runbook)
			}
		}
	}
	if len(named) < 15 {
		t.Errorf("only %d sections are named", len(named))
	}
}

// The document of the API lists the operations that there are.
func TestDocs_OpenAPIHasEveryOperation(t *testing.T) {
	var want []string
	for _, m := range regexp.MustCompile(`\{(get|post), "([^"]+)", `).FindAllStringSubmatch(readText(t, "proxy/admin/api.go"), -1) {
		want = append(want, strings.ToUpper(m[1])+" /api/v1/"+m[2])
	}
	slices.Sort(want)
	if d := cmp.Diff(want, readOpenAPI(t).operations()); d != "" {
		t.Errorf("operations (-source +document):\n%s", d)
	}
}
