package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// The commands of every document, in their order and as they stand: with the real program, the simulated
// WeChat where WeChat's names lead, and a loopback and files of their own (testdata/commands/world.sh).
func TestCommands(t *testing.T) {
	t.Parallel()
	world := newCommandWorld(t)
	texts := allPages(t)
	same := map[string]string{}
	for _, doc := range slices.Sorted(maps.Keys(texts)) {
		blocks, _ := commandBlocks(texts[doc])
		if !slices.ContainsFunc(blocks, func(b block) bool { return b.marks["not run"] == "" }) {
			continue
		}
		plan := ""
		for _, b := range blocks {
			plan += b.plain() + "\n"
		}
		if other, ok := same[plan]; ok {
			t.Logf("%s has the commands of %s, which are run", doc, other)
			continue
		}
		same[plan] = doc
		t.Run(doc, func(t *testing.T) {
			t.Parallel()
			world.run(t, doc, blocks)
		})
	}
}

// commandWorld is what the commands of all documents share.
type commandWorld struct {
	script string
	env    []string
	kept   []string
}

func newCommandWorld(t *testing.T) *commandWorld {
	t.Helper()
	programtest.Need(t, "unshare", "util-linux")
	programtest.Need(t, "ip", "iproute2")
	programtest.Need(t, "git", "git")
	dir := t.TempDir()
	simulator := filepath.Join(dir, "bin", "simulator")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", simulator, "./examples/simulator").CombinedOutput(); err != nil {
		t.Fatalf("build the simulator: %v\n%s", err, out)
	}
	origin := filepath.Join(dir, "origin")
	copyTree(t, origin)
	w := &commandWorld{script: filepath.Join(dir, "world.sh")}
	if err := os.WriteFile(w.script, []byte(readText(t, "testdata/commands/world.sh")), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Dir(mustBuild(t, shippedBuild))
	goEnv, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(goEnv))
	w.kept = append(caches, dir, program)
	w.env = append(os.Environ(),
		"PATH="+strings.Join([]string{program, filepath.Dir(simulator), filepath.Join(caches[0], "bin"), os.Getenv("PATH")}, ":"),
		"GOMODCACHE="+caches[1], "GOCACHE="+caches[2], "GOPROXY=off", "GOFLAGS=", "GOPATH=", "GOBIN=", "LC_ALL=C.UTF-8",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+origin+".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/wxsidecar/wxsidecar",
	)
	return w
}

// copyTree makes a repository of the working tree as it is.
func copyTree(t *testing.T, to string) {
	t.Helper()
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) { // deleted, and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "-A"},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m", "the tree"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", to}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
}

// quote writes text as one word of the shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// run runs the blocks of a document.
func (w *commandWorld) run(t *testing.T, doc string, blocks []block) {
	t.Helper()
	scratch := t.TempDir()
	plan := ""
	if strings.HasPrefix(doc, "docs/sdk/") {
		plan = "with sidecar\n" // these pages are printed, so that they have no marks
	}
	for i, b := range blocks {
		if b.marks["not run"] != "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(scratch, fmt.Sprintf("%d.sh", i)), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(b.marks["with"]) {
			plan += "with " + name + "\n"
		}
		switch {
		case b.marks["file"] != "":
			plan += fmt.Sprintf("cp %s/%d.sh %s\n", scratch, i, b.marks["file"])
		case b.marks["stays, once it says"] != "":
			plan += fmt.Sprintf("stays %d %s\n", i, quote(b.marks["stays, once it says"]))
		case b.marks["Ctrl-C, once it says"] != "":
			plan += fmt.Sprintf("interrupted %d %s\n", i, quote(b.marks["Ctrl-C, once it says"]))
		default:
			plan += fmt.Sprintf("run %d\n", i)
		}
	}
	if err := os.WriteFile(filepath.Join(scratch, "plan.sh"), []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "bash", w.script, scratch}, w.kept...)
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = w.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v, of the plan\n%s\n%s", err, plan, out.String())
	}
	for i, b := range blocks {
		if b.marks["not run"] == "" && b.marks["file"] == "" {
			b.check(t, readText(t, filepath.Join(scratch, fmt.Sprintf("%d.out", i))))
		}
	}
}

// errcode is an answer of WeChat's, or of ours, that is none.
var errcode = regexp.MustCompile(`"errcode": ?-?[1-9]`)

// check looks at what a block has printed.
func (b block) check(t *testing.T, out string) {
	t.Helper()
	want, logs := b.marks["says"], b.marks["stays, once it says"] != "" // a log has errcodes that were cured
	if !strings.Contains(out, want) || !logs && errcode.MatchString(out) {
		t.Errorf("line %d: want %q and no errcode; it says\n%s", b.line, want, out)
	}
}
