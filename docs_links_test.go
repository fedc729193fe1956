package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allPages returns the text of every document, also the pages that `wxsidecar sdk` prints.
func allPages(t *testing.T) map[string]string {
	t.Helper()
	pages := documents(t)
	guides, err := filepath.Glob("docs/sdk/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, guide := range guides {
		pages[guide] = readText(t, guide)
	}
	return pages
}

// Files and folders that documents name exist, and links lead somewhere.
func TestDocs_FilesExist(t *testing.T) {
	for doc, text := range documents(t) {
		named := found("`((?:[\\w.-]+/)*[\\w.-]+\\.(?:go|tsv|txtar|md|mod)|(?:[\\w.-]+/)+)`", text)
		for _, link := range found(`\]\(([^)#:]+)\)`, text) {
			named = append(named, filepath.Join(filepath.Dir(doc), link))
		}
		named = append(named, found(`(?:go run|go test[^\n]*) \./([\w/]+)`, text)...)
		for _, path := range named {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s names %s: %v", doc, path, err)
			}
		}
	}
}

// A link to a part of a document leads to a heading, or to an anchor of its own.
func TestDocs_AnchorsExist(t *testing.T) {
	pages := allPages(t)
	for doc, text := range pages {
		for _, link := range found(`\]\(([^):]*#[^)]+)\)`, text) {
			file, fragment, _ := strings.Cut(link, "#")
			target := doc
			if file != "" {
				target = filepath.Join(filepath.Dir(doc), file)
			}
			if other, ok := pages[target]; ok && !slices.Contains(anchorsOf(other), fragment) {
				t.Errorf("%s: %s has no heading or anchor %s", doc, target, fragment)
			}
		}
	}
}

// anchorsOf returns what links within a document can name, as GitHub makes it of headings.
func anchorsOf(text string) []string {
	anchors := found(`<a id="([^"]+)">`, text)
	for _, heading := range found(`(?m)^#+ (.+)$`, text) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

// A link to no heading is found.
func TestDocs_AnchorsAreThoseOfGitHub(t *testing.T) {
	got := anchorsOf("# Walk 1: a `call`\n\n<a id=\"x\"></a>\n\n## 可能已经执行的调用\n\n### waiting_ticket: no ticket\n")
	if want := []string{"x", "walk-1-a-call", "可能已经执行的调用", "waiting_ticket-no-ticket"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
