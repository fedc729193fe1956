package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with the file of that name in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update writes it anew; -want +got):\n%s", path, diff)
	}
}

// loadText loads a configuration file with that text.
func loadText(t *testing.T, text string, env Environment, flags ...Assignment) *Loaded {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Sources{File: path, Env: env, Flags: flags})
}

func report(l *Loaded) string {
	if err := l.Err(); err != nil {
		return err.Error()
	}
	return ""
}

const minimal = "accounts: [{appid: wx00000000000000aa, secret: " + goodSecret + "}]\n"

func TestLoad_FullFile(t *testing.T) {
	l := Load(Sources{File: "testdata/full.yaml"})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	if len(l.Warnings) != 0 {
		t.Errorf("warnings: %q", l.Warnings)
	}
	for _, path := range leafPaths(configType, "") {
		// Of a secret's two keys one stands, the other is named in a comment.
		base := strings.TrimSuffix(path, "_file")
		if !l.given(path) && !l.given(base) && !l.given(base+"_file") {
			t.Errorf("%s does not stand in full.yaml", path)
		}
	}
}

// full.yaml says that its values are the defaults where it does not say another.
func TestLoad_FullFileShowsDefaults(t *testing.T) {
	got, want := Load(Sources{File: "testdata/full.yaml"}).Config, Default()
	type defaults struct {
		Listen   Listen
		Window   time.Duration
		Release  bool
		URL      string
		Fallback []string
		Timeout  time.Duration
		Connect  Connect
		Alias    Alias
		Limits   Limits
		Renewal  Renewal
		Tokens   Tokens
		Shutdown Shutdown
		Log      Log
		Mode     string
		Errors   string
		Store    string
	}
	of := func(c Config) defaults {
		c.Store = secret.New(strings.Replace(c.Store.Reveal(), "testdata/", "", 1)) // what stands in the file is relative to it
		return defaults{
			c.Listen, c.Push.TimestampWindow, c.Push.ReleaseCheck, c.Upstream.URL, c.Upstream.Fallback, c.Upstream.Timeout,
			c.Connect, c.Alias, c.Limits, c.Renewal, c.Tokens, c.Shutdown, c.Log, c.Apps.SocketMode, c.Apps.Errors, c.Store.Reveal(),
		}
	}
	if diff := cmp.Diff(of(want), of(got)); diff != "" {
		t.Errorf("-default +full.yaml:\n%s", diff)
	}
}

func TestLoad_FaultsGolden(t *testing.T) {
	l := Load(Sources{
		File: "testdata/faults.yaml",
		Env: NewEnvironment([]string{
			"WXSIDECAR_LISTEN_APPZ=1", "WXSIDECAR_PORT=tcp://1", "WXSIDECAR_SERVICE_HOST=10.0.0.1", "WXSIDECAR_COMPONENT_SECRET=s3cr3t",
			"WXSIDECAR_LIMITS_MAX_INFLIGHT_PER_ACCOUNT=many", "WXSIDECAR_ACCOUNTS_9_APPID=wx00000000000000ab",
		}),
		Flags: []Assignment{{From: FromFlag("--log-format"), Path: []any{"log", "format"}, Value: "xml"}},
	})
	text := report(l) + "\n\n" + strings.Join(l.Warnings, "\n") + "\n"
	golden(t, "faults.golden", text)
	if strings.Contains(text, "s3cr3t") {
		t.Error("the report shows a secret")
	}
	for _, f := range l.faults {
		if f.hint == "" {
			t.Errorf("no hint: %s", f)
		}
	}
}

// A caller's keys are one text or a list, in the file and in the environment.
func TestLoad_CallerKeys(t *testing.T) {
	one, two := strings.Repeat("01", 32), strings.Repeat("ab", 32)
	f := func(text string, environ []string, want ...string) {
		t.Helper()
		l := loadText(t, "store: 'memory:'\naccounts: [{appid: wx00000000000000aa, secret: 0123456789abcdef0123456789abcdef}]\n"+text, NewEnvironment(environ))
		if len(l.faults) > 0 || len(l.Config.Callers) != 1 || !slices.Equal(l.Config.Callers[0].KeySHA256, want) {
			t.Errorf("%q %q: %+v\n%s", text, environ, l.Config.Callers, report(l))
		}
	}
	f("callers: [{name: a, key_sha256: "+one+"}]\n", nil, one)
	f("callers: [{name: a, key_sha256: ["+one+"]}]\n", nil, one)
	f("callers:\n  - name: a\n    key_sha256:\n      - "+one+"\n      - "+two+"\n", nil, one, two)
	f("callers: [{name: a, key_sha256: "+one+"}]\n", []string{"WXSIDECAR_CALLERS_0_KEY_SHA256=" + two}, two)
	f("", []string{"WXSIDECAR_CALLERS_0_NAME=a", "WXSIDECAR_CALLERS_0_KEY_SHA256=" + one + ", " + two}, one, two)
}

// A component that another key refers to must be configured, wherever the two are said.
func TestLoad_ReferencesToComponents(t *testing.T) {
	const one, other = "wx7f00c0de00000001", "wx7f00c0de00000002"
	components := "listen: {push: 'off'}\nstore: 'memory:'\ncomponents: [{appid: " + one + ", secret: " + goodSecret + "}]\n"
	hash := strings.Repeat("ab", 32)
	callers := "callers: [{name: a, key_sha256: " + hash + ", components: [" + one + "]}]\n"
	l := loadText(t, components+"apps: {default_component: "+one+"}\n"+callers, nil)
	if l.Err() != nil || l.Config.Apps.DefaultComponent != one || !slices.Equal(l.Config.Callers[0].Components, []string{one}) {
		t.Errorf("%+v, %+v\n%s", l.Config.Apps, l.Config.Callers, report(l))
	}
	f := func(text string, environ []string, want string) {
		t.Helper()
		if got := report(loadText(t, components+text, NewEnvironment(environ))); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q %q: the report lacks %q:\n%s", text, environ, want, got)
		}
	}
	f("apps: {default_component: "+other+"}\n", nil, `c.yaml:4: apps.default_component: value "`+other+`": no configured component has this appid; `)
	f("apps: {default_component: "+other+"}\n", []string{"WXSIDECAR_COMPONENTS_1_APPID=" + other, "WXSIDECAR_COMPONENTS_1_SECRET=" + goodSecret}, "")
	f("", []string{"WXSIDECAR_APPS_DEFAULT_COMPONENT=" + other}, "environment WXSIDECAR_APPS_DEFAULT_COMPONENT: apps.default_component: value")
	f(callers, []string{"WXSIDECAR_CALLERS_0_COMPONENTS=" + one + "," + other}, "environment WXSIDECAR_CALLERS_0_COMPONENTS: callers[0].components[1]: value")
	f("accounts: [{appid: "+other+", secret: "+goodSecret+"}]\napps: {default_component: "+other+"}\n", nil, "apps.default_component: value")
	f("apps: {default_component: "+goodSecret+"}\n", nil, "apps.default_component: not an appid")
}

func TestLoad_Faults(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got := report(loadText(t, text, nil))
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("the report of %q\nlacks %q:\n%s", text, w, got)
			}
		}
		if strings.Contains(got, "s3cr3t") {
			t.Errorf("the report of %q shows a secret:\n%s", text, got)
		}
	}
	f("", "neither a component nor an account is configured", "secret_file:")
	f("# nothing but a comment\n", "neither a component nor an account")
	f("a: b: c\n", "c.yaml:1: not valid YAML: mapping values are not allowed")
	f("store: *s3cr3t\n", "c.yaml:1: a value that begins with *; put quotes around it")
	f("a: &x 1\ndata_dir: *x\n", "data_dir: aliases are not supported")
	f("log: {}\n---\nlog: {}\n", "a second document begins here")
	// A secret where its file belongs, as the likes of it have slashes too.
	f("store_file: redis://:s3cr3t@h/0\n", "c.yaml:1: store_file: cannot be read")
	f("components: [{encoding_aes_key_file: s3cr3t/888888888888888888888888888888888888}]\n", "encoding_aes_key_file: cannot be read")
	f("seal: {key_file: s3cr3t+/88888888888888888888888888888888888=}\n", "seal.key_file: cannot be read")
	f("seal: {key_file: nokey}\n", "/nokey\": cannot be read: no such file")
	f("components: [{previous: {push_token: 's3cr3t '}}]\n", "components[0].previous.push_token: has white space")
	f("- a\n", "c.yaml:1: want keys with values, got a list")
	f("? {a: b}\n: c\n", "unknown key")
	f("level: debug\n", "level: unknown key; there is log.level")
	f("listen: {apps: [1]}\n", "listen.apps: want a single value, got a list")
	f("listen: {apps: unix://a.sock}\n", "the path of the socket is not absolute")
	f("listen: {apps: unix:///"+strings.Repeat("a", 107)+"}\n", "longer than 107 bytes")
	hash := strings.Repeat("0123456789abcdef", 4)
	f("callers: [{name: a, key_sha256: []}]\n", "callers[0].key_sha256: missing")
	f("callers: [{name: a, key_sha256: ['', s3cr3t]}]\n", "callers[0].key_sha256[0]: missing", "callers[0].key_sha256[1]: not 64 hexadecimal digits")
	f("callers: [{name: a, key_sha256: [s3cr3t]}]\n", "callers[0].key_sha256: not 64 hexadecimal digits")
	f("callers: [{name: a, key_sha256: [{s3cr3t: 1}]}]\n", "callers[0].key_sha256[0]: want a single value")
	f("callers: [{name: a, key_sha256: {s3cr3t: 1}}]\n", "callers[0].key_sha256: want a list, got keys with values")
	f("callers: [{name: a, key_sha256: ["+hash+", "+strings.ToUpper(hash)+"]}]\n", "callers[0].key_sha256[1]: the same as callers[0].key_sha256[0]")
	f("callers: [{name: a, key_sha256: "+hash+"}, {name: b, key_sha256: ["+hash+"]}]\n", "callers[1].key_sha256: the same as callers[0].key_sha256")
	f("listen: {apps: ':7080'}\n", "listen.apps: value \":7080\": open to other machines without callers")
	f("listen: {admin: '[::]:7083'}\n", "listen.admin: value \"[::]:7083\": open to other machines without admin.key_sha256")
	f("alias: {https: 0.0.0.0:443}\n", "alias.https: value \"0.0.0.0:443\": open to other machines without callers")
	f("listen: {apps: 'unix:///a', metrics: 'unix:///./a'}\n", "listen.metrics: value \"unix:///./a\": collides with listen.apps")
	f("listen: {push: '[::]:7082'}\n", "listen.metrics: value \"0.0.0.0:7082\": collides with listen.push [::]:7082")
	f("listen: {apps: off, push: off, metrics: off, admin: off}\n", "every listener is off")
	f("components: [{appid: wx00000000000000aa, secret: '${s3cr3t', encoding_aes_key: "+strings.Repeat("-", 43)+"}]\n",
		"encoding_aes_key: has characters other than letters and digits")
	f("accounts: [{appid: wx00000000000000aa, secret: 's3cr3t s3cr3t'}]\n", "has white space")
	f("accounts: [{appid: wx00000000000000aa, secret_file: s3cr3t}]\n", "accounts[0].secret_file: cannot be read")
	f("accounts: [{appid: wx00000000000000aa, secret_file: /dev/null}]\n", "accounts[0].secret_file: value \"/dev/null\": the file is empty")
	f("accounts: [{appid: wx00000000000000aa, secret: "+strings.Repeat("0", 32)+", encoding_aes_key: "+strings.Repeat("k", 43)+"}]\n", "accounts[0].push_token: missing")
	f("accounts: [{appid: wx00000000000000aa, push_token: t, encoding_aes_key: s3cr3t}]\n", "accounts[0].encoding_aes_key: has 6 characters, not 43")
	f("store: s3cr3t\n", "store: not a store")
	f("store: 'bolt:'\n", "bolt: without a path")
	f("store: bolt:/tmp\n", "store: a folder; name a file in it")
	f("store: bolt:/nonexistent/\n", "store: a folder; name a file in it")
	f("accounts: [{secret_file: /nonexistent/s}]\nstore: bolt:/nonexistent/./s\n", "store: a file of the configuration")
	f("seal: {key_file: /nonexistent}\nstore: bolt:/nonexistent\n", "store: a file of the configuration")
	f("store: rediss://:s3cr3t@h\n", "configuration: seal.key_file: missing; with a Redis store it must be given; sidecars that share a store share its key")
	f("store: redis-sentinel://:s3cr3t@h\n", "c.yaml:1: store: lacks the master's name")
	f("store: redis://:s3cr3t@h/s3cr3t\n", "store: the database, after the last /, must be a number")
	f("store: redis://:s3cr3t@h:s3cr3t\n", "store: host 1: the port must be a number")
	f("store: redis://:s3cr3t@h?password_file=/s3cr3t\n", "store: has a password and password_file")
	f("store: redis://h?password_file=pw\n", "store: password_file in the URL is a relative path; write the absolute path")
	f("store: rediss://h?ca_file=/nonexistent\n", "store: ca_file in the URL cannot be read: no such file or directory; compare the path")
	f("store: redis://h?password_file=/tmp\n", "store: password_file in the URL cannot be read: is a directory")
	f("store: redis://:s3cr3tä@h\n", "store: has U+00E4 in it, which is not ASCII")
	f("store: redis:h\n", "store: not a store; write bolt:PATH, redis://HOST")
	f("limits: {replay_memory: 0}\n", "limits.replay_memory: value \"0\": not above 0")
	f("limits: {replay_memory: 1MiB, replay_body: 2MiB}\n", "limits.replay_memory: value \"1048576\": less than limits.replay_body")
	same := strings.Repeat("ab", 32)
	f("callers: [{name: a, key_sha256: ["+same+", "+same+"]}]\n", "callers[0].key_sha256[1]: the same as callers[0].key_sha256[0]; keep one of the two")
	f("callers: [{name: a, key_sha256: "+same+"}, {name: b, key_sha256: "+same+"}]\n", "callers[1].key_sha256: the same as callers[0].key_sha256; each caller needs its own")
	f("store: 'redis://:${PW}@h'\n", "the environment variable PW is not set")
	f("limits: {replay_body: 9999999999999GiB}\n", "a size out of range")
	f("limits: {replay_body: -1}\n", "a size out of range")
	f("limits: {replay_body: xKiB}\n", "not a size")
	f("push: {public_url: 'https://h/?a=s3cr3t', landing_url: 'https://h/#x'}\n",
		"push.public_url: value \"https://h/\": has a query", "push.landing_url: value \"https://h/#x\": a URL with a fragment")
	f("push: {public_url: 'https://h', landing_url: 'https://h'}\n", "push.landing_secret: missing; push.landing_url needs it")
	f("events: [{format: json}]\n", "events[0].url: missing; where the events are to be sent")
	f("push: {landing_secret: s3cr3t}\n", "push.landing_secret: signs nothing")
	f("push: {login_url: 'https://h/x', public_url: 'https://h'}\n", "push.login_url: value \"https://h/x\": has more than a host")
	f("upstream: {ca_file: /dev/null}\n", "upstream.ca_file: value \"/dev/null\": holds no certificate")
	f("upstream: {ca_file: /nonexistent}\n", "upstream.ca_file: value \"/nonexistent\": cannot be read: no such file")
	f("upstream: {url: 'http://wechat'}\n", "http would send tokens in clear")
	f("upstream: {url: 'https://h:0'}\n", "a URL without a valid port")
	f("upstream: {url: 'https://'}\n", "a URL without a valid host")
	f("seal: {key_file: /nonexistent, previous_key_file: /}\n", "seal.key_file: value \"/nonexistent\": cannot be read",
		"seal.previous_key_file: value \"/\": cannot be read: is a directory")
	f("callers: [{name: a, deny: [//cgi-bin/clear_quota]}]\n", "callers[0].deny[0]: value \"//cgi-bin/clear_quota\": no path has an empty segment; write one slash")
	f("connect: {allow: ['a.*.b']}\n", "connect.allow[0]: value \"a.*.b\": not a host pattern")
	f("renewal: {at: .nan, rate: nine}\n", "renewal.at: value \".nan\": not a number", "renewal.rate: value \"nine\": not a number")
	f("shutdown: {grace: soon}\n", "shutdown.grace: value \"soon\": not a time; write it like")
	f("data_dir: "+strings.Repeat("x", 90)+"\nlog: {level: "+strings.Repeat("y", 90)+"}\n", `value "`+strings.Repeat("y", 80)+`…"`)
}

func TestLoad_FileUnreadable(t *testing.T) {
	l := Load(Sources{File: "/nonexistent.yaml", FileFrom: Origin{rank: fromFlag, name: "--config"}})
	want := "flag --config: value \"/nonexistent.yaml\": the configuration file cannot be read: no such file or directory; " +
		"compare the path, and let the user of the process read it\nthe configuration has 1 fault"
	if got := report(l); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// What Kubernetes gives pods for Services in their namespace is passed over; what merely looks alike is not.
func TestLoad_VariablesOfServices(t *testing.T) {
	f := func(name, value string, want int) {
		t.Helper()
		l := loadText(t, minimal, Environment{name: value})
		if err := l.Err(); err != nil || len(l.Warnings) != want {
			t.Errorf("%s=%s: %v, %q", name, value, err, l.Warnings)
		}
	}
	for _, service := range []string{"", "PUSH_", "PUSH_V2_", "LISTEN_"} {
		f("WXSIDECAR_"+service+"SERVICE_HOST", "10.0.0.1", 0)
		f("WXSIDECAR_"+service+"SERVICE_PORT", "80", 0)
		f("WXSIDECAR_"+service+"SERVICE_PORT_PUSH", "80", 0)
		f("WXSIDECAR_"+service+"PORT", "tcp://10.0.0.1:80", 0)
		f("WXSIDECAR_"+service+"PORT_80_TCP", "tcp://10.0.0.1:80", 0)
		f("WXSIDECAR_"+service+"PORT_80_TCP_PROTO", "tcp", 0)
		f("WXSIDECAR_"+service+"PORT_53_UDP_PORT", "53", 0)
		f("WXSIDECAR_"+service+"PORT_80_SCTP_ADDR", "10.0.0.1", 0)
	}
	f("WXSIDECAR_PUSH_PORT", "7081", 1)
	f("WXSIDECAR_PUSH_PORT_TCP", "7081", 1)
	f("WXSIDECAR_PUSH_PORT_80_HTTP", "x", 1)
	f("WXSIDECAR_PUSH_SERVICE", "x", 1)
	f("WXSIDECAR_PUSH_SERVICE_HOSTS", "x", 1)
	f("WXSIDECAR_PUSH_TOKEN", "x", 1)
}

// A smaller memory makes the default of what is kept smaller, without a word.
func TestLoad_ReplayBodyFollowsMemory(t *testing.T) {
	l := loadText(t, minimal+"limits: {replay_memory: 1MiB}\n", nil)
	if l.Err() != nil || len(l.Warnings) > 0 || l.Config.Limits.ReplayBody != 768<<10 {
		t.Errorf("%v, %q, %d bytes", l.Err(), l.Warnings, l.Config.Limits.ReplayBody)
	}
}

func TestLoad_Warnings(t *testing.T) {
	l := loadText(t, minimal+"limits: {replay_memory: 12MiB, replay_body: 10MiB}\nstore: 'memory:'\nupstream: {url: 'http://127.0.0.1:80'}\npush: {public_url: 'http://wx.example.com', landing_secret: 0123456789abcdef, landing_url: 'https://a.example', login_url: 'https://sim.example'}\n",
		Environment{"WXSIDECAR_CONFG": "x", "WXSIDECAR_COMPONENT_APPDI": "x", "WXSIDECAR_PORT_7080_TCP": "x", "WXSIDECAR_EMPTY": ""})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(l.Warnings, "\n")
	for _, want := range []string{
		"WXSIDECAR_CONFG: unknown variable, ignored; did you mean WXSIDECAR_CONFIG?",
		"did you mean WXSIDECAR_COMPONENT_APPID?", "every token and authorization is lost", "without TLS", "in clear; use https", "push.login_url: merchants are sent there in place of WeChat",
		"limits.replay_memory: bodies of more than 64 KiB take at most three quarters of it",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the warnings lack %q:\n%s", want, all)
		}
	}
	l = loadText(t, minimal+"push: {landing_url: 'https://a.example'}\n", nil)
	if want := "push.landing_url: has no effect without push.public_url"; l.Err() != nil || !strings.Contains(strings.Join(l.Warnings, "\n"), want) {
		t.Errorf("the warnings lack %q: %q, %v", want, l.Warnings, l.Err())
	}
	if strings.Contains(all, "7080_TCP") || strings.Contains(all, "EMPTY") {
		t.Errorf("warned of what is ignored:\n%s", all)
	}
}

func TestLoad_Precedence(t *testing.T) {
	file := minimal + "log: {level: warn, format: json}\ndata_dir: /file\n"
	env := Environment{"WXSIDECAR_LOG_LEVEL": "error", "WXSIDECAR_LOG_FORMAT": "text"}
	l := loadText(t, file, env, Assignment{From: FromFlag("--log-level"), Path: []any{"log", "level"}, Value: "debug"})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	got := []string{l.Config.Log.Level, l.Config.Log.Format, l.Config.DataDir, l.Config.Apps.Errors}
	if diff := cmp.Diff([]string{"debug", "text", "/file", "http"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoad_Environment(t *testing.T) {
	l := Load(Sources{Env: Environment{
		"WXSIDECAR_COMPONENT_APPID": "wx7f00c0de00000001", "WXSIDECAR_COMPONENT_SECRET_FILE": "testdata/secret",
		"WXSIDECAR_COMPONENT_PUSH_TOKEN": "${TOKEN}", "TOKEN": "t", "WXSIDECAR_COMPONENT_ENCODING_AES_KEY": strings.Repeat("k", 43),
		"WXSIDECAR_COMPONENT_PREVIOUS_PUSH_TOKEN": "before", "WXSIDECAR_COMPONENT_PREVIOUS_ENCODING_AES_KEY_FILE": "testdata/aeskey",
		"WXSIDECAR_ACCOUNTS_0_APPID": "wx00000000000000aa", "WXSIDECAR_ACCOUNTS_0_SECRET": "0123", // a text, though it looks like a number
		"WXSIDECAR_APPS_ALLOWED_HOSTS": "a, b", "WXSIDECAR_STORE": "bolt:/x/${DB}.db", "DB": "y", "WXSIDECAR_UPSTREAM_URL": "https://h",
	}})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	c := l.Config
	got := []string{
		c.Components[0].AppID, c.Components[0].Secret.Reveal(), c.Components[0].PushToken.Reveal(), c.Components[0].Previous.PushToken.Reveal(),
		c.Components[0].Previous.EncodingAESKey.Reveal(), c.Accounts[0].Secret.Reveal(), strings.Join(c.Apps.AllowedHosts, "|"),
		c.Store.Reveal(), c.DataDir, strings.Join(c.Upstream.Fallback, "|"),
	}
	want := []string{
		"wx7f00c0de00000001", "0123456789abcdef0123456789abcdef", "t", "before",
		"GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba", "0123", "a|b",
		"bolt:/x/y.db", "/x", "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A variable replaces the file's secret however the two are given.
func TestLoad_EnvironmentReplacesSecret(t *testing.T) {
	f := func(file string, env Environment, want string) {
		t.Helper()
		l := loadText(t, file, env)
		if err := l.Err(); err != nil {
			t.Error(err)
		} else if got := l.Config.Accounts[0].Secret.Reveal(); got != want {
			t.Errorf("%s with %v: got %q, want %q", file, env, got, want)
		}
	}
	f(minimal, Environment{"WXSIDECAR_ACCOUNTS_0_SECRET_FILE": "testdata/secret"}, "0123456789abcdef0123456789abcdef")
	f("accounts: [{appid: wx00000000000000aa, secret_file: /nonexistent}]", Environment{"WXSIDECAR_ACCOUNTS_0_SECRET": "x"}, "x")
	f("accounts:\n- appid: wx00000000000000aa\n  secret:\n", Environment{"WXSIDECAR_ACCOUNTS_0_SECRET": "x"}, "x")
	f("accounts:\n", Environment{"WXSIDECAR_ACCOUNTS_0_SECRET": "x", "WXSIDECAR_ACCOUNTS_0_APPID": "wx00000000000000aa"}, "x")
}

func TestVariables_EveryKey(t *testing.T) {
	for _, key := range leafPaths(configType, "") {
		path, typ := pathOfVariable(variableOfPath(key))
		if pathText(path) != key || typ == nil {
			t.Errorf("%s: the variable %s stands for %q", key, variableOfPath(key), pathText(path))
		}
	}
	f := func(name, want string) {
		t.Helper()
		path, _ := pathOfVariable(name)
		if got := pathText(path); got != want {
			t.Errorf("%s stands for %q, want %q", name, got, want)
		}
	}
	f("WXSIDECAR_COMPONENT_SECRET_FILE", "components[0].secret_file")
	f("WXSIDECAR_COMPONENTS_12_PREVIOUS_PUSH_TOKEN", "components[12].previous.push_token")
	f("WXSIDECAR_STORE_FILE", "store_file")
	f("WXSIDECAR_COMPONENTS", "")
	f("WXSIDECAR_COMPONENTS_X_APPID", "")
	f("WXSIDECAR_COMPONENTS_-1_APPID", "")
	f("WXSIDECAR_LISTEN", "")
}

// Indices are numbers: the eleventh component comes after the third.
func TestLoad_EnvironmentIndices(t *testing.T) {
	env := Environment{}
	for i, digit := range "0123456789ab" {
		key := indexed("accounts", i)
		env[variableOfPath(key+".appid")] = "wx000000000000000" + string(digit)
		env[variableOfPath(key+".secret")] = "x"
	}
	l := Load(Sources{Env: env})
	if err := l.Err(); err != nil || len(l.Config.Accounts) != 12 || l.Config.Accounts[10].AppID != "wx000000000000000a" {
		t.Errorf("%d accounts, %v", len(l.Config.Accounts), err)
	}
	delete(env, "WXSIDECAR_ACCOUNTS_3_APPID")
	delete(env, "WXSIDECAR_ACCOUNTS_3_SECRET")
	if got := report(Load(Sources{Env: env})); !strings.Contains(got, "accounts[4].appid: there is no number 3 before it") {
		t.Errorf("a gap in the indices: %s", got)
	}
}

func TestFileSums_Changed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	sums := FileSums{}
	if _, err := sums.read(path); err != nil || sums.Changed() {
		t.Fatalf("changed at once, or %v", err)
	}
	write("two")
	if !sums.Changed() {
		t.Error("a change was not seen")
	}
	if err := os.Remove(path); err != nil || !sums.Changed() {
		t.Errorf("a removal was not seen, or %v", err)
	}
	if _, err := sums.read(path); err == nil || sums.Changed() {
		t.Errorf("a file that stays away changes, or %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(full), "WXSIDECAR_COMPONENT_APPID", "wx")
	f.Add("listen: {apps: x}", "WXSIDECAR_LISTEN_APPS", "y")
	f.Add("accounts: [1, {a: *b}]", "WXSIDECAR_ACCOUNTS_1_SECRET", "${X}")
	f.Fuzz(func(t *testing.T, text, variable, value string) {
		l := &Loaded{Config: Default()}
		d := newDecoder("c.yaml")
		root := l.parse("c.yaml", []byte(text))
		found, _ := Environment{variable: value}.assignments()
		for _, a := range found {
			d.assign(root, a)
		}
		d.value(root, reflect.ValueOf(&l.Config).Elem(), "")
		for _, fault := range append(l.faults, d.faults...) {
			if strings.Contains(fault.String(), "\n") {
				t.Errorf("a fault takes more than one line: %q", fault)
			}
		}
	})
}

// A secret that is missing is asked for by the form of variable that is in use.
func TestRequired_NamesTheFormInUse(t *testing.T) {
	for prefix, want := range map[string]string{"WXSIDECAR_COMPONENT_": "the variable WXSIDECAR_COMPONENT_SECRET", "WXSIDECAR_COMPONENTS_0_": "the variable WXSIDECAR_COMPONENTS_0_SECRET"} {
		if got := report(loadText(t, "", Environment{prefix + "APPID": "wx7f00c0de00000001"})); !strings.Contains(got, want) {
			t.Errorf("%s: the report lacks %q:\n%s", prefix, want, got)
		}
	}
}
