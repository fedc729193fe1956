package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The file in docs/development.md is one that the simulator takes.
func TestDocs_Config(t *testing.T) {
	page, err := os.ReadFile("../../docs/development.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "cat > simulator.yaml <<'END'\n")
	content, _, ended := strings.Cut(rest, "END\n")
	if !found || !ended {
		t.Fatal("docs/development.md has no simulator.yaml")
	}
	file := filepath.Join(t.TempDir(), "simulator.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "-config", file)
	for _, component := range []string{"wx7f00c0de00000001", "wx7f00c0de00000002"} {
		s.want(200, component, "GET", "/control/state", "")
	}
	s.want(200, "wx00000000000000aa", "GET", "/control/state", "")
	s.want(400, "say which component", "POST", "/control/push-ticket", "")
}
