package main

import (
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tests that docs/security.md names exist, and each threat has one.
func TestDocs_SecurityTests(t *testing.T) {
	tests := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, name := range found(`(?m)^func ((?:Test|Fuzz)\w+)\(`, readText(t, path)) {
				tests[name] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, threats, _ := strings.Cut(readText(t, "docs/security.md"), "## Threats")
	threats, _, _ = strings.Cut(threats, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$`).FindAllStringSubmatch(threats, -1)
	for _, row := range rows[1:] { // the first is the head
		names := found("`(\\w+)`", row[2])
		if len(names) == 0 && row[1] != "---" {
			t.Errorf("no test stands against %q", row[1])
		}
		for _, name := range names {
			if !tests[name] {
				t.Errorf("%q: there is no test %s", row[1], name)
			}
		}
	}
	if len(rows) < 30 {
		t.Errorf("only %d rows were read", len(rows))
	}
}

// The secrets that documents have people put into a clone are not committed by accident, and do not get into an image's build.
func TestDocs_SecretsStayWhereTheyArePut(t *testing.T) {
	patterns := strings.Fields(readText(t, ".dockerignore"))
	for _, name := range []string{
		"component_secret", "push_token", "encoding_aes_key", "seal_key", "redis_url", "users.acl",
		"wxsidecar.env", "wxsidecar.yaml", "wxsidecar.key", "examples/compose/file/secrets", "examples/compose/redis/secrets",
	} {
		if out, err := exec.Command("git", "check-ignore", "--no-index", name).CombinedOutput(); err != nil {
			t.Errorf("git does not ignore %s: %v %s", name, err, out)
		}
		if !slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, name); return err == nil && ok }) {
			t.Errorf(".dockerignore does not have %s", name)
		}
	}
}
