package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// values returns what the unit says for a key, once for each line.
func values(unit, key string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(unit, -1) {
		all = append(all, m[1])
	}
	return all
}

// written returns the file of a unit that has the program where this test has built it.
func written(t *testing.T, unit string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wxsidecar.service")
	unit = strings.ReplaceAll(unit, "/usr/local/bin/wxsidecar", programtest.Build(t))
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// verify returns what systemd-analyze says against a unit. It ends with 0 even where it says
// that it ignores a line.
func verify(t *testing.T, unit string) string {
	t.Helper()
	out, err := exec.Command(programtest.Need(t, "systemd-analyze", "systemd"), "verify", "--man=no", "--recursive-errors=no", written(t, unit)).CombinedOutput()
	if err != nil {
		return err.Error() + ": " + string(out)
	}
	return string(out)
}

// With the lines that docs/deploy.md gives for a verb the unit runs that verb once.
func TestUnit_Verb(t *testing.T) {
	_, after, _ := strings.Cut(read(t, "../../docs/deploy.md"), "verb.conf <<'END'\n")
	lines, _, _ := strings.Cut(after, "END\n")
	f := func(lines, want string) {
		t.Helper()
		// Lines of a section that comes again are as those of a drop-in.
		said := verify(t, read(t, "wxsidecar.service")+lines)
		if want == "" && said != "" || !strings.Contains(said, want) {
			t.Errorf("%q: %q", lines, said)
		}
	}
	f(lines, "")
	f(strings.Replace(lines, "ExecStart=\n", "Type=exec\n", 1), "more than one ExecStart=")
	f(strings.Replace(lines, "Restart=no\n", "Restart=always\n", 1), "isn't allowed for Type=oneshot")
}

// exposure returns the overall level, and no error for a unit that is hardened well: 0 is as good as it gets, 100 a service of
// root's without any limit.
func exposure(t *testing.T, unit string) (string, error) {
	t.Helper()
	out, err := exec.Command(programtest.Need(t, "systemd-analyze", "systemd"), "security", "--no-pager", "--offline=true", "--threshold=17", written(t, unit)).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], err
}

func TestUnit(t *testing.T) {
	unit := read(t, "wxsidecar.service")
	if said := verify(t, unit); said != "" {
		t.Error(said)
	}
	if out, err := exposure(t, unit); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What is not as it should be is found.
func TestUnit_FaultsAreFound(t *testing.T) {
	unit := read(t, "wxsidecar.service")
	changed := func(old, with string) string {
		t.Helper()
		if !strings.Contains(unit, old) {
			t.Fatalf("the unit does not have %q", old)
		}
		return strings.Replace(unit, old, with, 1)
	}
	f := func(old, with, want string) {
		t.Helper()
		if said := verify(t, changed(old, with)); !strings.Contains(said, want) {
			t.Errorf("%s: %q", with, said)
		}
	}
	f("LimitCORE", "LimitCores", "Unknown key")
	f("on-failure", "on-failures", "Failed to parse")
	f("/usr/local/bin/wxsidecar serve", "/nowhere/wxsidecar serve", "not executable")
	f("@system-service", "@system-services", "@system-services")
	g := func(old, with string) {
		t.Helper()
		if out, err := exposure(t, changed(old, with)); err == nil {
			t.Errorf("without %s: %s", old, out)
		}
	}
	g("DynamicUser=yes", "DynamicUser=no")
	g("\nCapabilityBoundingSet=\n", "\n")
	g("SystemCallFilter=@system-service\nSystemCallFilter=~@privileged\n", "")
	g("RestrictNamespaces=yes\n", "")
}
