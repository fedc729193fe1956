package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// documents returns every document for people, by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	texts := map[string]string{}
	for _, path := range append(paths, "README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md") {
		texts[path] = readText(t, path)
	}
	return texts
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// found returns what the first group of pattern matches in text, in order.
func found(pattern, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// Files that a package's documentation names are in the package, and the others are
// found by those: a new file has its place there.
func TestDocs_PackagesNameTheirFiles(t *testing.T) {
	for _, pkg := range []string{"broker", "proxy"} {
		doc := readText(t, filepath.Join(pkg, "doc.go"))
		for _, name := range found(`\b([a-z_]+\.go)\b`, doc) {
			if _, err := os.Stat(filepath.Join(pkg, name)); err != nil {
				t.Errorf("%s/doc.go names %s: %v", pkg, name, err)
			}
		}
		paths, err := filepath.Glob(pkg + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.Base(path)
			family, _, _ := strings.Cut(name, "_")
			if name != "doc.go" && !strings.HasSuffix(name, "_test.go") && !strings.Contains(doc, name) && !strings.Contains(doc, family+"_") {
				t.Errorf("%s/doc.go does not name %s", pkg, name)
			}
		}
	}
}

// The walk of docs/architecture.md has the files through which a call and a push
// pass, in this order.
func TestDocs_WalksInOrder(t *testing.T) {
	text := readText(t, "docs/architecture.md")
	f := func(from, to string, files ...string) {
		t.Helper()
		_, walk, _ := strings.Cut(text, from)
		walk, _, _ = strings.Cut(walk, to)
		for _, file := range files {
			_, after, ok := strings.Cut(walk, "`"+file+"`")
			if !ok {
				t.Errorf("%s: %s does not come, or not in its place", from, file)
				continue
			}
			walk = after
		}
	}
	f("## Walk 1", "## Walk 2", "proxy/server.go", "proxy/request.go", "proxy/routes/match.go", "proxy/identify.go", "proxy/replay.go",
		"broker/cache.go", "broker/renew.go", "broker/ledger_records.go", "broker/table_change.go", "proxy/inject.go", "proxy/upstream_pick.go", "proxy/upstream_answer.go")
	f("## Walk 2", "## States", "proxy/push/server.go", "proxy/push/admit.go", "proxy/push/verify.go", "broker/msgcrypt/codec.go", "proxy/push/event.go", "broker/wechat/push.go",
		"broker/broker_push.go", "broker/ledger_records.go", "broker/table_change.go")
}

// Verbs that documents tell to type exist, and so do the flags behind them.
func TestDocs_VerbsExist(t *testing.T) {
	verbs := map[string]func(string) bool{}
	p := &program{}
	root := p.rootVerb()
	root.InitDefaultCompletionCmd()
	add := func(name string, verb *cobra.Command) {
		verbs[name] = func(flag string) bool {
			return verb.Flags().Lookup(flag) != nil || root.PersistentFlags().Lookup(flag) != nil || flag == "help"
		}
	}
	for _, verb := range root.Commands() {
		add(verb.Name(), verb)
		for _, under := range verb.Commands() {
			add(verb.Name()+" "+under.Name(), under)
		}
	}
	for doc, text := range documents(t) {
		lines := found("`wxsidecar ([^`\n]+)`", text)
		for _, block := range found("(?s)```sh\n(.*?)```", text) {
			lines = append(lines, found(`(?m)^wxsidecar ([^#\n]+)`, block)...)
		}
		for _, line := range lines {
			words := strings.Fields(line)
			name := words[0]
			if len(words) > 1 {
				if _, ok := verbs[name+" "+words[1]]; ok {
					name += " " + words[1]
				}
			}
			hasFlag, ok := verbs[name]
			if !ok {
				t.Errorf("%s: there is no verb %s", doc, words[0])
				continue
			}
			for _, flag := range found(`--([a-z-]+)`, line) {
				if !hasFlag(flag) {
					t.Errorf("%s: %s has no flag --%s", doc, words[0], flag)
				}
			}
		}
	}
}

// Examples of configuration can be used as they stand.
func TestDocs_ExamplesLoad(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{
		"component_secret": scriptAppSecret, "account_secret": scriptAppSecret, "push_token": "token",
		"encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
		"redis_url":        "redis://user:password@redis.example:6379", "seal_key": strings.Repeat("1", 64),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded := 0
	for doc, text := range documents(t) {
		for i, example := range found("(?s)```yaml\n(.*?)```", text) {
			file := filepath.Join(dir, fmt.Sprintf("%s-%d.yaml", filepath.Base(doc), i))
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(example, "/run/secrets/", dir+"/")), 0o600); err != nil {
				t.Fatal(err)
			}
			if l := config.Load(config.Sources{File: file}); l.Err() != nil || len(l.Warnings) > 0 {
				t.Errorf("%s: example %d: %v %v", doc, i+1, l.Err(), l.Warnings)
			}
			loaded++
		}
	}
	pages, err := filepath.Glob("docs/sdk/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages { // what is added to a configuration for an SDK
		for _, example := range found("(?s)```yaml\n(.*?)```", readText(t, page)) {
			if l := loadText(t, minimal+example); l.Err() != nil || len(l.Warnings) > 0 {
				t.Errorf("%s: %v %v", page, l.Err(), l.Warnings)
			}
			loaded++
		}
	}
	if loaded < 6 {
		t.Errorf("only %d examples were found", loaded)
	}
}

// tableRows returns the cells of each row of text's tables whose first cell is in
// backquotes; it stands there without them.
func tableRows(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		line = strings.Trim(strings.TrimSpace(line), "|")
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(c), "\x00", "|")
		}
		cells[0] = strings.Trim(cells[0], "`")
		rows = append(rows, cells)
	}
	return rows
}

// docs/metrics.md has every metric with its labels.
func TestDocs_Metrics(t *testing.T) {
	registry, ok := metrics.New("v1").Gatherer().(prometheus.Collector)
	if !ok {
		t.Fatal("the registry does not describe itself")
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		registry.Describe(descriptions)
	}()
	want := map[string]string{}
	shape := regexp.MustCompile(`fqName: "(wxsidecar_\w+)".*variableLabels: \{(.*)\}\}`)
	for d := range descriptions {
		if m := shape.FindStringSubmatch(d.String()); m != nil {
			want[m[1]] = m[2]
		}
	}
	got := map[string]string{}
	for _, row := range tableRows(readText(t, "docs/metrics.md")) {
		if regexp.MustCompile(`^wxsidecar_\w+$`).MatchString(row[0]) {
			got[row[0]] = strings.NewReplacer("`", "", " ", ",").Replace(row[2])
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("metrics and labels (-registered +document):\n%s", d)
	}
}

func scrapeOf(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// CHANGELOG.md begins with what is not released, and then goes from version to version, each with
// its day, down to the first.
func TestDocs_Changelog(t *testing.T) {
	versions := found(`(?m)^## (.+)$`, readText(t, "CHANGELOG.md"))
	if len(versions) == 0 || versions[0] != "Unreleased" {
		t.Fatalf("headings %q; want Unreleased first", versions)
	}
	var former []int
	for _, heading := range versions[1:] {
		version := make([]int, 3)
		day := ""
		if n, err := fmt.Sscanf(heading, "%d.%d.%d - %s", &version[0], &version[1], &version[2], &day); n != 4 {
			t.Errorf("heading %q: %v; want one like 0.1.0 - 2026-01-31", heading, err)
		}
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			t.Errorf("heading %q: %v", heading, err)
		}
		if former != nil && slices.Compare(version, former) >= 0 {
			t.Errorf("%v stands below %v", version, former)
		}
		former = version
	}
	for _, kind := range found(`(?m)^### (.+)$`, readText(t, "CHANGELOG.md")) {
		if !slices.Contains([]string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, kind) {
			t.Errorf("there is no such kind of change as %s", kind)
		}
	}
}
