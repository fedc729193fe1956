package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goodSecret = "0123456789abcdef0123456789abcdef"
	goodAESKey = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
)

// oneAccount is a configuration with that secret, in YAML's double quotes.
func oneAccount(secret string) string {
	return "accounts: [{appid: wx00000000000000aa, secret: \"" + secret + "\"}]\n"
}

func oneComponentWith(secret, pushToken string) string {
	return "components: [{appid: wx00000000000000aa, secret: '" + secret + "', push_token: '" + pushToken +
		"', encoding_aes_key: " + goodAESKey + "}]\n"
}

// What cannot be a secret is refused, and never shown.
func TestLoad_SecretThatCannotBe(t *testing.T) {
	f := func(secret, want string) {
		t.Helper()
		got := report(loadText(t, oneAccount(secret), nil))
		if !strings.Contains(got, ":1: accounts[0].secret: ") || !strings.Contains(got, want) {
			t.Errorf("%q: the report lacks %q:\n%s", secret, want, got)
		}
		if strings.Contains(got, "0123456") {
			t.Errorf("%q: the report shows the secret:\n%s", secret, got)
		}
	}
	f(`\uFEFF`+goodSecret, "U+FEFF (byte order mark)")
	f(`0123456\u200B789abcdef0123456789abcdef`, "U+200B (zero width space)")
	f(`0123456789abcdef0123456789abcde\u00a0`, "white space")
	f(`０123456789abcdef0123456789abcdef`, "U+FF10")
	f(`\"`+goodSecret+`\"`, "stands in quotes")
	f(`'`+goodSecret+`'`, "stands in quotes")
	f(`“`+goodSecret+`”`, "stands in quotes")
	f("$WX_SECRET", "write it like ${NAME}")
	f("${WX_SECRET}x", "write it like ${NAME}")
	f("$(cat /run/secrets/x)", "write it like ${NAME}")
	f("...", "placeholder")
	f("…", "placeholder")
	f("<secret>", "placeholder")
}

// Each fault of a component's credentials is told once.
func TestLoad_CredentialsOfComponentOnce(t *testing.T) {
	for _, text := range []string{
		oneComponentWith(goodSecret, "..."),
		oneComponentWith("...", "token1"),
		strings.Replace(oneComponentWith(goodSecret, "token1"), goodAESKey, `'"`+goodAESKey+`"'`, 1),
	} {
		if got := report(loadText(t, text, nil)); !strings.HasSuffix(got, "the configuration has 1 fault") {
			t.Errorf("%q:\n%s", text, got)
		}
	}
}

// What is wrong with a secret's file is told at the line that names it, with the cure
// for a file.
func TestLoad_SecretFileThatCannotBe(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		path := write(t, filepath.Join(t.TempDir(), "s"), content)
		got := report(loadText(t, "accounts:\n  - appid: wx00000000000000aa\n    secret_file: "+path+"\n", nil))
		if !strings.Contains(got, "c.yaml:3: accounts[0].secret: "+want) {
			t.Errorf("%q: the report lacks %q:\n%s", content, want, got)
		}
	}
	f("\uFEFF"+goodSecret, "has U+FEFF (byte order mark) in it; copy it again from WeChat's console; save a file without a byte order mark")
	f("\u200B"+goodSecret, "has U+200B (zero width space) in it; copy it again from WeChat's console\n")
	f("\xff\xfe1\x002\x00", "is not UTF-8 text; save the file as UTF-8 or ASCII, without a byte order mark")
	f("${WX_SECRET}\n", "a variable that is not expanded; write the secret itself into the file")
}

// A value that stands where a key belongs may be a secret, and is not shown.
func TestLoad_UnknownKeyShowsNoSecret(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got := report(loadText(t, text, nil))
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("the report of %q\nlacks %q:\n%s", text, w, got)
			}
		}
		if strings.Contains(got, "0123456789ab") || strings.Contains(got, "GFEDCBA") || strings.Contains(got, "s3cr3t") {
			t.Errorf("the report of %q shows a secret:\n%s", text, got)
		}
	}
	f("accounts: [{appid: wx00000000000000aa, secret:"+goodSecret+"}]\n", "c.yaml:1: accounts[0]: no blank behind secret:; write secret: and the value", "1 fault")
	f("accounts: [{appid: wx00000000000000aa, secret:\""+goodSecret+"\"}]\n", "accounts[0]: no blank behind secret:", "1 fault")
	f("accounts: [{appid: wx00000000000000aa, secret："+goodSecret+"}]\n", "accounts[0]: a full-width colon behind secret", "1 fault")
	f("accounts: [{appid: wx00000000000000aa, secret="+goodSecret+"}]\n", "accounts[0]: an equals sign behind secret", "1 fault")
	f("accounts:\n  - appid: wx00000000000000aa\n    secret="+goodSecret+"\nstore: bolt:/x\n", "c.yaml:3: an equals sign behind secret")
	f("upstream: {proxy:http://u:s3cr3t@h:1}\n", "upstream: no blank behind proxy:")
	f("listen: {push:\"off\"}\n", "c.yaml:1: listen: no blank behind push:")
	f("accounts: [{"+goodSecret+"}]\n", "accounts[0].…: unknown key")
	f("accounts: [{"+goodAESKey+": a, "+goodAESKey+": a}]\n", "accounts[0].…: unknown key", "accounts[0].…: the key is given a second time")
	f("accounts: [{appid: wx00000000000000aa, 密钥: s3cr3t}]\n", "accounts[0].密钥: unknown key")
	f("accounts: [{appid: "+goodSecret+", secret: wx00000000000000aa}]\n", "accounts[0].appid: not an appid")
	f(minimal+"apps: {default_appid: "+goodSecret+"}\n", "apps.default_appid: not an appid")
}

// A variable is expanded in secrets only; elsewhere that is said.
func TestLoad_VariableThatIsNoSecret(t *testing.T) {
	got := report(loadText(t, "accounts: [{appid: '${APPID}', secret: "+goodSecret+"}]\nconnect: {allow: ['$HOST']}\n", nil))
	for _, want := range []string{
		"accounts[0].appid: value \"${APPID}\": not an appid; variables are expanded in secrets only: leave the key out and set WXSIDECAR_ACCOUNTS_0_APPID",
		"leave the key out and set WXSIDECAR_CONNECT_ALLOW\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
	l := loadText(t, minimal+"data_dir: '${HOME}/x'\nstore: bolt:$HOME/x.db\n", nil)
	all := strings.Join(l.Warnings, "\n")
	if l.Err() != nil || len(l.Warnings) != 2 || !strings.Contains(all, "data_dir: ") || !strings.Contains(all, "store: ") {
		t.Errorf("%v, the warnings:\n%s", l.Err(), all)
	}
	if l = loadText(t, minimal+"store: 'bolt:~/x.db'\n", nil); len(l.Warnings) != 1 {
		t.Errorf("the warnings: %q", l.Warnings)
	}
}

// What is unlikely is warned of: some day WeChat's secrets may have another form.
func TestLoad_SecretThatIsUnlikely(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		l := loadText(t, text, nil)
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(l.Warnings, "\n")
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%q: the warnings lack %q:\n%s", text, w, all)
			}
		}
		if len(l.Warnings) != len(want) || strings.Contains(all, "0123456") || strings.Contains(all, "s3cr3t") {
			t.Errorf("%q: want %d warnings without a secret:\n%s", text, len(want), all)
		}
	}
	f(oneAccount(goodSecret))
	f(oneAccount(strings.ToUpper(goodSecret)), "accounts[0].secret: is not 32 hexadecimal digits in lower case")
	f(oneAccount(goodSecret[1:]), "accounts[0].secret: is not 32 hexadecimal digits in lower case, as WeChat's AppSecrets are (it has 31 characters)")
	f(oneAccount(goodAESKey), "accounts[0].secret: has the form of an encoding_aes_key")
	f(oneComponentWith(goodSecret, "token1"))
	f(oneComponentWith("token1", goodSecret), "components[0].secret: is not 32 hexadecimal digits, and push_token is: the two look swapped")
	f(oneComponentWith(goodSecret, "a-b"), "components[0].push_token: is not 3 to 32 letters and digits")
	f(oneComponentWith(goodSecret, goodAESKey), "components[0].push_token: is not 3 to 32 letters and digits")
}

// The quotes that docker's --env-file keeps are named as what they are, in any key.
func TestLoad_QuotesOfEnvironment(t *testing.T) {
	l := Load(Sources{Env: Environment{
		"WXSIDECAR_ACCOUNTS_0_APPID": `"wx00000000000000aa"`, "WXSIDECAR_ACCOUNTS_0_SECRET": `"` + goodSecret + `"`,
		"WXSIDECAR_LOG_LEVEL": `'debug'`, "WXSIDECAR_STORE": `"bolt:/x.db"`, "WXSIDECAR_DATA_DIR": `"/data"`,
		"WXSIDECAR_CALLERS_0_NAME": "shop", "WXSIDECAR_CALLERS_0_KEY_SHA256": `"` + strings.Repeat("ab", 32) + `"`,
		"WXSIDECAR_UPSTREAM_PROXY": `"http://u:s3cr3t@10.0.0.8:3128"`, "WXSIDECAR_ADMIN_KEY_SHA256": `"` + strings.Repeat("ab", 32) + `"`,
	}})
	got := report(l)
	if strings.Count(got, "docker's --env-file keeps them") != 8 || !strings.HasSuffix(got, "has 8 faults") ||
		strings.Contains(got, goodSecret) || strings.Contains(got, "s3cr3t") || strings.Contains(got, "abab") {
		t.Errorf("the report:\n%s", got)
	}
}

// A slip that YAML finds a line late, or in words of its own, is told where it is
// and what to do.
func TestLoad_SlipsOfWriting(t *testing.T) {
	f := func(text string, want string) {
		t.Helper()
		got := report(loadText(t, text, nil))
		if !strings.Contains(got, want) {
			t.Errorf("the report of %q\nlacks %q:\n%s", text, want, got)
		}
		if strings.Contains(got, "s3cr3t") {
			t.Errorf("the report of %q shows a secret:\n%s", text, got)
		}
	}
	f("accounts:\n  - appid: wx00000000000000aa\n    secret: s3cr3t # \xd6\xd0\xce\xc4\n", "c.yaml:3: not UTF-8: byte 0xd6 (Chinese text in GBK begins so); save the file as UTF-8")
	f("accounts:\n  - appid：wx00000000000000aa\n    secret: s3cr3t\n", "c.yaml:2: a full-width colon behind appid; write appid: and the value, with the colon of ASCII and a blank")
	f("accounts:\n  - appid:wx00000000000000aa\n    secret: s3cr3t\n", "c.yaml:2: no blank behind appid:; write appid: and the value, with a blank between them")
	f("accounts:\n  - appid: wx00000000000000aa\n    secret:s3cr3t\nstore: bolt:/x\n", "c.yaml:3: no blank behind secret:")
	f("accounts:\n  - appid:wx00000000000000aa\n", "c.yaml:2: accounts[0]: no blank behind appid:")
	f("accounts:\n  - {appid: wx00000000000000aa, secret: ${WX_SECRET}}\n", "c.yaml:2: ${…} without quotes inside { }; put quotes around it: \"${NAME}\"")
	f("accounts: [{appid: wx00000000000000aa,\n  secret: ${WX_SECRET}}]\n", "c.yaml:2: ${…} without quotes inside { }")
	f("connect: {allow: [${HOST}]}\n", "c.yaml:1: ${…} without quotes inside { }")
	f("accounts:\n  - appid: wx00000000000000aa\n\u3000\u3000secret: s3cr3t\nstore: bolt:/x\n", "c.yaml:3: U+3000 before secret; indent with blanks")
	f("accounts:\n  - appid: wx00000000000000aa\n    push_token: s3cr3t\n\u3000\u3000\u3000secret: s3cr3t\n", "c.yaml:4: U+3000 before secret")
	f("accounts:\n  - appid: wx00000000000000aa\n\u00a0\u00a0secret: s3cr3t\nstore: bolt:/x\n", "c.yaml:3: U+00A0 before secret")
	f("accounts:\n  -appid: wx00000000000000aa\n    secret: s3cr3t\n", "c.yaml:2: no blank behind -; write - appid:")
	f("callers:\n  - {name: a， appids: []}\n", "c.yaml:2: a full-width comma inside { } or [ ]; write the comma of ASCII")
	f("connect: {allow: [*.weixin.qq.com]}\n", "c.yaml:1: a value that begins with *; put quotes around it")
	f("accounts:\n  - <<: *a\n    appid: wx00000000000000aa\n", "c.yaml:2: aliases are not supported; write the keys out")
	f("store: memory:\n", `c.yaml:1: a colon at the end of the value of store; put quotes around it, like store: "memory:"`)
	f("accounts:\n  - secret: \"s3cr3t\n    appid: wx00000000000000aa\n", "c.yaml:2: the quotes behind secret: are not closed")
	f("a\x00c\x00", "c.yaml:1: a zero byte (the file may be UTF-16); save the file as UTF-8")
	f("a: &a {level: debug}\nlog: {<<: *a}\n", "c.yaml:2: log.<<: aliases are not supported; write the keys out")
	f("accounts: [{appid: gh_0123456789ab, secret: s3cr3t}]\n", "accounts[0].appid: value \"gh_0123456789ab\": the 原始ID of an account, not its AppID")
	f("apps: {default_appid: gh_0123456789ab}\n", "apps.default_appid: value \"gh_0123456789ab\": the 原始ID")
}

// Where there is no such slip, YAML's own words stay.
func TestLoad_NoSlipOfWriting(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := report(loadText(t, text, nil)); !strings.Contains(got, want) {
			t.Errorf("the report of %q\nlacks %q:\n%s", text, want, got)
		}
	}
	f("# appid:x\na: b: c\n", "c.yaml:2: not valid YAML: mapping values are not allowed")
	f("store: bolt:/x\na: b: c\n", "c.yaml:2: not valid YAML: mapping values are not allowed")
	f("log: {level: '${A}'\n", "not valid YAML")
	f("log: {level: \"a, *b，\"}\nstore: 'x # y'\na: b: c\n", "c.yaml:3: not valid YAML: mapping values are not allowed")
}

// Of a file that cannot be read nothing is known, so no default of it is a fault.
func TestLoad_NothingElseOfBrokenFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("wxsidecar.db", 0o700); err != nil {
		t.Fatal(err)
	}
	if got := report(loadText(t, "a: b: c\n", nil)); !strings.HasSuffix(got, "the configuration has 1 fault") {
		t.Errorf("the report:\n%s", got)
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A relative path in the file is relative to the file; elsewhere to the working
// directory.
func TestLoad_RelativePaths(t *testing.T) {
	dir, cwd := t.TempDir(), t.TempDir()
	t.Chdir(cwd)
	write(t, filepath.Join(dir, "s"), goodSecret)
	write(t, filepath.Join(dir, "k"), strings.Repeat("ab", 32))
	file := write(t, filepath.Join(dir, "c.yaml"),
		"accounts: [{appid: wx00000000000000aa, secret_file: s}]\nstore: 'bolt:db/${DB}'\nseal: {key_file: k}\ndata_dir: data\n")
	l := Load(Sources{File: file, Env: Environment{"DB": "x.db"}})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	c := l.Config
	for got, want := range map[string]string{
		c.Store.Reveal(): "bolt:" + filepath.Join(dir, "db/x.db"), c.Seal.KeyFile: filepath.Join(dir, "k"),
		c.DataDir: filepath.Join(dir, "data"), c.Accounts[0].Secret.Reveal(): goodSecret,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	l = Load(Sources{File: file, Env: Environment{"DB": "x.db", "WXSIDECAR_STORE": "bolt:here.db", "WXSIDECAR_DATA_DIR": "there"}})
	if l.Err() != nil || l.Config.Store.Reveal() != "bolt:here.db" || l.Config.DataDir != "there" {
		t.Errorf("from the environment: %v, %q, %q", l.Err(), l.Config.Store.Reveal(), l.Config.DataDir)
	}
	// The default is not in the file.
	file = write(t, filepath.Join(dir, "d.yaml"), "accounts: [{appid: wx00000000000000aa, secret_file: s}]\n")
	if l = Load(Sources{File: file}); l.Err() != nil || l.Config.Store.Reveal() != "bolt:wxsidecar.db" || l.Config.DataDir != "." {
		t.Errorf("by default: %v, %q, %q", l.Err(), l.Config.Store.Reveal(), l.Config.DataDir)
	}
}

// A store that an earlier version made in the working directory is not left behind
// in silence.
func TestLoad_StoreInWorkingDirectory(t *testing.T) {
	dir, cwd := t.TempDir(), t.TempDir()
	t.Chdir(cwd)
	file := write(t, filepath.Join(dir, "c.yaml"), oneAccount(goodSecret)+"store: bolt:wx.db\n")
	left := write(t, filepath.Join(cwd, "wx.db"), "x")
	got := report(Load(Sources{File: file}))
	if !strings.Contains(got, "c.yaml:2: store: ") || !strings.Contains(got, left) || !strings.Contains(got, filepath.Join(dir, "wx.db")) {
		t.Errorf("the report does not name both:\n%s", got)
	}
	write(t, filepath.Join(dir, "wx.db"), "x")
	if got := report(Load(Sources{File: file})); got != "" {
		t.Errorf("with a store beside the file: %s", got)
	}
}

// What serve could not write is said by check.
func TestLoad_FolderCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, filepath.Join(dir, "plain"), "x")
	f := func(text, want string) {
		t.Helper()
		if got := report(loadText(t, oneAccount(goodSecret)+text, nil)); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: the report lacks %q:\n%s", text, want, got)
		}
	}
	f("store: bolt:"+plain+"/x.db\n", "store: the folder "+plain+" cannot be written: not a directory")
	f("store: bolt:"+plain+"/a/b/x.db\n", "store: the folder "+plain+"/a/b cannot be made in "+plain+": not a directory")
	f("store: bolt:"+dir+"/a/b/x.db\n", "")
	f("store: 'memory:'\ndata_dir: "+plain+"\n", "") // nothing but a copy of the certificate would lie there
	f("data_dir: "+plain+"\nstore: bolt:"+dir+"/x.db\n", "data_dir: the folder "+plain+" cannot be written: not a directory")
}
