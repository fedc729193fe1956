package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/wxsidecar/wxsidecar"

// only lists what may be imported by some packages alone. A path stands for
// itself and all below it.
var only = []struct {
	imported string
	by       []string
	why      string
}{
	{"github.com/valyala/fasthttp", []string{"proxy", "proxy/push"}, "its bytes are borrowed; only these two know how to own them"},
	{"github.com/prometheus", []string{"metrics", "metrics/metricstest"}, "every metric stands there, where names and labels are checked"},
	{"github.com/dgraph-io/ristretto", []string{"broker"}, "it loses and delays entries; only the broker knows what that means for a token"},
	{"golang.org/x/net", []string{"proxy/dial"}, "for SOCKS; how to get out is decided there"},
	{"go.etcd.io/bbolt", []string{"broker/boltstore"}, "one technology, one adapter"},
	{"github.com/redis/rueidis", []string{"broker/redisstore"}, "one technology, one adapter"},
	{"github.com/spf13/cobra", []string{""}, "the command line belongs to main"},
	{"go.yaml.in/yaml", []string{"config", "examples"}, "one package reads the configuration; the others get their Options"},
	{module + "/config", []string{""}, "main hands each package its Options"},
	{"net/http/pprof", nil, "it takes a third of a megabyte, and serves whoever asks; proxy/admin has its own"},
	{"runtime/pprof", []string{"proxy/admin"}, "profiles are for operators"},
	{module + "/broker/wechat/wechattest", []string{"examples"}, "a stand-in for WeChat has no place in the program"},
	{module + "/broker/storetest", nil, "a suite for tests"},
	{module + "/broker/redisstore/redistest", nil, "Redis servers for tests"},
	{module + "/proxy/dial/dnstest", nil, "a DNS server for tests"},
	{module + "/proxy/browsertest", nil, "a browser for tests"},
	{module + "/metrics/metricstest", nil, "a scrape for tests"},
	{module + "/examples/programtest", []string{"broker/redisstore/redistest", "proxy/browsertest"}, "programs for tests"},
	{module + "/proxy", []string{"", "config", "examples"}, "the data path is the outermost layer; what it needs it gets from main"},
	{"github.com/a-h/templ", []string{"proxy/admin", "proxy/authorize", "proxy/markup"}, "for pages; others write no HTML"},
	{"github.com/boombuler/barcode", []string{"proxy/authorize"}, "for the QR code on a page"},
	{"html/template", nil, "it switches off the linker's dead-code elimination"},
	{"text/template", nil, "it switches off the linker's dead-code elimination"},
	{"github.com/google/go-cmp", []string{"broker/storetest"}, "for tests; it switches off the linker's dead-code elimination"},
}

// leaves lists what a package may import of this module; all else of it is
// forbidden.
var leaves = []struct {
	pkg       string
	mayImport []string
	why       string
}{
	{"broker/secret", nil, "everybody imports it"},
	{"broker/seal", []string{"broker/secret"}, "cryptography is read alone"},
	{"broker/pushdoc", nil, "it reads what anybody may send, and is read alone"},
	{"broker/msgcrypt", []string{"broker/pushdoc", "broker/secret"}, "cryptography is read alone"},
	{"broker/clock", nil, "a clock knows nothing of tokens"},
	{"broker/store", nil, "stores, what seals them anew and the suite for them need the contract, not the broker"},
	{"broker/outbox", []string{"broker/seal", "broker/secret", "broker/store", "metrics"}, "a queue knows neither tokens nor how an app is reached"},
	{"broker/boltstore", []string{"broker/seal", "broker/secret", "broker/store"}, "a store knows names and sealed bytes"},
	{"broker/memstore", []string{"broker/store"}, "a store knows names and sealed bytes"},
	{"broker/redisstore", []string{"broker/redisstore/redisurl", "broker/secret", "broker/store"}, "a store knows names and sealed bytes"},
	{"broker/redisstore/redisurl", []string{"broker/secret"}, "the configuration reads a URL without Redis's client"},
	{"broker/redisstore/redistest", []string{"examples/programtest"}, "it starts servers and knows nothing of what is kept there"},
	{"broker/imports", []string{"broker/secret", "broker/wechat"}, "it reads what others wrote, and neither opens nor stores anything"},
	{"broker/migrate", []string{"broker/seal", "broker/secret", "broker/store"}, "copying records needs no broker"},
	{"broker/rekey", []string{"broker/seal", "broker/secret", "broker/store"}, "sealing anew needs no broker"},
	{"broker/wechat", []string{"broker/pushdoc", "broker/secret"}, "it speaks WeChat's protocol and decides nothing"},
	{"metrics", []string{"broker/secret"}, "everybody imports it"},
	{"proxy/mitm", nil, "cryptography is read alone"},
	{"proxy/authorize", []string{"broker", "broker/secret", "broker/wechat", "metrics", "proxy/language", "proxy/markup"}, "what strangers' browsers may ask for is read alone"},
	{"proxy/language", nil, "it reads one header"},
	{"proxy/markup", nil, "it escapes texts"},
	{"proxy/dial", nil, "data path, CONNECT and the broker's client all dial by it"},
	{"proxy/relay", []string{"broker/pushdoc", "broker/secret", "proxy/dial"}, "it hands on what others have verified and decided to hand on"},
	{"proxy/releasecheck", []string{"broker", "broker/pushdoc", "broker/secret", "broker/wechat", "proxy/push"}, "what WeChat's check asks for is read alone"},
	{"proxy/routes", []string{"broker", "broker/secret"}, "a table; it knows kinds of token only"},
}

// below reports whether pkg is path or lies below it.
func below(pkg, path string) bool { return pkg == path || strings.HasPrefix(pkg, path+"/") }

// forbidden returns why the package pkg (relative to the module, "" for main) must
// not import imported, or "".
func forbidden(pkg, imported string) string {
	for _, rule := range only {
		// A package may import what is its own part: proxy/push is below proxy.
		if below(imported, rule.imported) && !slices.Contains(rule.by, pkg) && !inExamples(pkg, rule.by) && !below(module+"/"+pkg, rule.imported) {
			return rule.why
		}
	}
	ours, ok := strings.CutPrefix(imported, module+"/")
	for _, leaf := range leaves {
		if ok && leaf.pkg == pkg && !slices.Contains(leaf.mayImport, ours) {
			return leaf.why
		}
	}
	return ""
}

func inExamples(pkg string, by []string) bool {
	return below(pkg, "examples") && slices.Contains(by, "examples")
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range packages {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/")
		for _, imported := range fields[1:] {
			if why := forbidden(pkg, imported); why != "" {
				t.Errorf("%s must not import %s: %s", fields[0], imported, why)
			}
		}
	}
	for _, leaf := range leaves {
		if !slices.ContainsFunc(packages, func(line string) bool { return strings.Fields(line)[0] == module+"/"+leaf.pkg }) {
			t.Errorf("there is no package %s: its rule guards nothing", leaf.pkg)
		}
	}
}

// The rules themselves: an edge of each sort that must not be.
func TestImports_RulesBite(t *testing.T) {
	f := func(pkg, imported string, bad bool) {
		t.Helper()
		if why := forbidden(pkg, imported); (why != "") != bad {
			t.Errorf("%q imports %s: forbidden for %q", pkg, imported, why)
		}
	}
	f("broker", module+"/proxy", true)
	f("broker", module+"/proxy/routes", true)
	f("broker/boltstore", module+"/proxy", true)
	f("", module+"/proxy/push", false)
	f("proxy", module+"/proxy/routes", false)
	f("proxy/push", module+"/broker", false)
	f("broker/wechat", module+"/broker", true)
	f("broker/wechat", module+"/broker/secret", false)
	f("metrics", module+"/broker", true)
	f("broker", "github.com/valyala/fasthttp", true)
	f("proxy/admin", "github.com/valyala/fasthttp", true)
	f("proxy/push", "github.com/valyala/fasthttp", false)
	f("proxy", "github.com/dgraph-io/ristretto/v2", true)
	f("broker", "github.com/dgraph-io/ristretto/v2", false)
	f("", "go.etcd.io/bbolt", true)
	f("", module+"/broker/wechat/wechattest", true)
	f("examples/simulator", module+"/broker/wechat/wechattest", false)
	f("", module+"/broker/redisstore/redistest", true)
	f("proxy/admin", "html/template", true)
	f("proxy", "github.com/prometheus/client_golang/prometheus", true)
}

// reflectMethods returns what the linker says of functions that look methods up by
// name, in the program in dir: one such function makes it keep every exported
// method of the whole program.
func reflectMethods(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.Command("go", "build", "-ldflags=-dumpdep", "-o", os.DevNull, ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "<ReflectMethod>") {
			found = append(found, line)
		}
	}
	return found
}

func TestLinker_DropsDeadCode(t *testing.T) {
	for _, line := range reflectMethods(t, ".") {
		t.Errorf("this switches off dead-code elimination: %s", line)
	}
}

// The guard above sees what it is for.
func TestLinker_GuardBites(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module guard\n\ngo 1.26\n")
	write("main.go", `package main

import (
	"os"
	"reflect"
)

func main() { reflect.ValueOf(os.Stdout).MethodByName(os.Args[0]).Call(nil) }
`)
	if len(reflectMethods(t, dir)) == 0 {
		t.Error("the linker no longer marks a lookup of methods by name: the guard is blind")
	}
}
