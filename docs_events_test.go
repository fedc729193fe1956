package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

// verifier runs code of docs/events.md: as a file, with old replaced by replacement and
// after at the end. The program takes secret, id, timestamp, signature and body as arguments, and prints
// true or false. debian is the package that has the command.
type verifier struct {
	file                    string
	old, replacement, after string
	command                 []string
	debian                  string
}

var verifiers = map[string]verifier{
	"go": {"main.go", "import (", "package main\n\nimport (\n\t\"os\"", `
func main() {
	a := os.Args[1:]
	h := http.Header{}
	h.Set("webhook-id", a[1])
	h.Set("webhook-timestamp", a[2])
	h.Set("webhook-signature", a[3])
	fmt.Println(verify(a[0], h, []byte(a[4])))
}
`, []string{"go", "run", "main.go"}, "golang"},
	"python": {"main.py", "", "", `
import sys
_, secret, id, timestamp, signature, body = sys.argv
headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
print(str(verify(secret, headers, body.encode())).lower())
`, []string{"python3", "main.py"}, "python3"},
	"javascript": {"main.js", "", "", `
const [secret, id, timestamp, signature, body] = process.argv.slice(2);
const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
console.log(verify(secret, headers, Buffer.from(body)));
`, []string{"node", "main.js"}, "nodejs"},
	"java": {"Main.java", "class Webhook {", `class Main {
    public static void main(String[] a) throws Exception {
        System.out.println(Webhook.verify(a[0], a[1], a[2], a[3], a[4].getBytes(StandardCharsets.UTF_8)));
    }
}

class Webhook {`, "", []string{"java", "Main.java"}, "default-jdk-headless"},
}

// The code that people copy accepts what the sidecar signs, and nothing else.
func TestDocs_VerifySignature(t *testing.T) {
	text, err := os.ReadFile("docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, v := range verifiers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(v.command[0]); err != nil {
				t.Fatalf("%s is missing: install Debian's package %s", v.command[0], v.debian)
			}
			_, code, found := strings.Cut(string(text), "\n```"+language+"\n")
			code, _, _ = strings.Cut(code, "\n```\n")
			if !found || !strings.Contains(code, v.old) {
				t.Fatalf("docs/events.md has no such code in %s:\n%s", language, code)
			}
			dir := t.TempDir()
			program := strings.Replace(code, v.old, v.replacement, 1) + "\n" + v.after
			if err := os.WriteFile(filepath.Join(dir, v.file), []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			checkVerifier(t, func(key string, s signed) bool { t.Helper(); return v.run(t, dir, key, s) })
		})
	}
}

func (v verifier) run(t *testing.T, dir, key string, s signed) bool {
	t.Helper()
	args := append(v.command[1:len(v.command):len(v.command)], key, s.id, s.timestamp, s.signature, s.body)
	cmd := exec.Command(v.command[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // for the arguments
	out, err := cmd.CombinedOutput()
	answer := strings.TrimSpace(string(out))
	if err != nil || answer != "true" && answer != "false" {
		t.Fatalf("%v: %s", err, answer)
	}
	return answer == "true"
}

func checkVerifier(t *testing.T, verify func(key string, r signed) bool) {
	t.Helper()
	for _, key := range []string{"a secret of 中文", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		if !verify(key, deliverSigned(t, key, time.Now())) {
			t.Errorf("refuses what is signed with %s", key)
		}
	}
	good := deliverSigned(t, "key", time.Now())
	if verify("another", good) {
		t.Error("accepts a signature of another key")
	}
	several := good
	several.signature = "v1,AAAA " + good.signature
	if !verify("key", several) {
		t.Error("refuses the second of two signatures")
	}
	changed := good
	changed.body += " "
	if verify("key", changed) {
		t.Error("accepts a changed body")
	}
	if verify("key", deliverSigned(t, "key", time.Now().Add(-10*time.Minute))) {
		t.Error("accepts an old timestamp")
	}
}

// signed is a delivery as an app got it.
type signed struct{ id, timestamp, signature, body string }

// deliverSigned has the sidecar's own code sign and deliver something.
func deliverSigned(t *testing.T, key string, now time.Time) signed {
	t.Helper()
	got := make(chan signed, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- signed{r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), string(body)}
	}))
	defer srv.Close()
	target, err := relay.NewTarget(relay.TargetOptions{URL: srv.URL, Secret: secret.New(key)})
	if err != nil {
		t.Fatal(err)
	}
	client := relay.New(relay.Options{Now: func() time.Time { return now }})
	defer client.Close()
	if _, err := client.Deliver(t.Context(), target, &relay.Delivery{ID: "0123456789abcdef", Body: []byte("<xml>商家</xml>")}); err != nil {
		t.Fatal(err)
	}
	return <-got
}
