package kubernetes

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kubectl stands in for the real one: it keeps the Secrets that it is told to make, and the names
// of what it is told to apply.
const kubectl = `#!/bin/sh
case "$1 $2 $3" in
"create secret generic")
	mkdir "$SECRETS/$4"
	for arg in "$@"; do
		case "$arg" in --from-file=*) cp "${arg#--from-file=}" "$SECRETS/$4/" || exit 1 ;; esac
	done ;;
apply*) echo "$@" >>"$SECRETS/applied" ;;
exec*) ;;
*) exit 1 ;;
esac
`

const (
	appSecret = "0123456789abcdef0123456789abcdef"
	aesKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// deploy types the commands of docs/deploy.md's section on Kubernetes, in order. It returns a folder
// with what they made: a folder for each Secret, and the file applied.
func deploy(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## Kubernetes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) != 4 {
		t.Fatalf("docs/deploy.md has %d blocks of commands for Kubernetes", len(blocks))
	}
	work, bin, made := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(bin, "kubectl"), kubectl, 0o700)
	for name, value := range map[string]string{"component_secret": appSecret, "push_token": "token", "encoding_aes_key": aesKey} {
		write(t, filepath.Join(work, name), value+"\n", 0o600)
	}
	for _, block := range blocks {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", block[1])
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SECRETS="+made)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", block[1], err, out)
		}
	}
	return made
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// secretKeys returns the Secrets that docs/deploy.md makes, and their keys.
func secretKeys(t *testing.T) map[string][]string {
	t.Helper()
	keys := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(deploy(t), "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		keys[name] = append(keys[name], filepath.Base(file))
	}
	return keys
}

// The user's rules are those of docs/redis.md.
func TestDocs_RedisUser(t *testing.T) {
	users, err := os.ReadFile(filepath.Join(deploy(t), "wxsidecar-redis", "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^user wxsidecar on >\S+ (.*)$`)
	want, got := rules.FindSubmatch(doc), rules.FindSubmatch(users)
	if want == nil || got == nil || string(want[1]) != string(got[1]) {
		t.Errorf("docs/redis.md: %s\ndocs/deploy.md: %s", want, got)
	}
}

// Every manifest is in some command, but for the Job, which people write after it, and in some form
// that the tests look at.
func TestDocs_Apply(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deploy(t), "applied"))
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tested := slices.Concat(slices.Collect(maps.Values(forms))...)
	for _, file := range manifests {
		if file != "job.yaml" && !strings.Contains(string(text), "-f examples/kubernetes/"+file) {
			t.Errorf("docs/deploy.md does not apply %s", file)
		}
		if !slices.Contains(tested, file) {
			t.Errorf("%s is in no form", file)
		}
	}
}
