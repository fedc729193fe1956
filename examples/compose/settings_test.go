package compose

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// program is the file of the program, which TestMain builds.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wxsidecar-test-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "wxsidecar")
	// Without the stamp of the version control, as that fails in a clone of another user.
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	m.Run()
}

// values are made up, and in the form that WeChat's have.
var values = map[string]string{
	"component_secret": "0123456789abcdef0123456789abcdef",
	"push_token":       "token",
	"encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
	"seal_key":         strings.Repeat("1", 64),
	"redis_url":        "redis://wxsidecar:password@redis:6379",
}

// check runs wxsidecar check with what a service has: its settings, its secrets but one, its volume.
func check(t *testing.T, p *types.Project, s types.ServiceConfig, without string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	for _, secret := range s.Secrets {
		if secret.Source != without {
			write(t, filepath.Join(dir, "run/secrets", secret.Source), values[secret.Source])
		}
	}
	settings := filepath.Join(dir, s.Configs[0].Target)
	paths := strings.NewReplacer("/run/secrets/", dir+"/run/secrets/", "bolt:/data/", "bolt:"+dir+"/data/")
	write(t, settings, paths.Replace(read(t, p.Configs[s.Configs[0].Source].File)))
	if *s.Environment["WXSIDECAR_CONFIG"] != s.Configs[0].Target {
		t.Errorf("%s: WXSIDECAR_CONFIG leads to no file", s.Name)
	}
	cmd := exec.Command(program, "check", "--config", settings)
	cmd.Dir, cmd.Env = dir, []string{}
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The settings can be used with the secrets that the service has, and need each of them.
func TestSettings(t *testing.T) {
	for _, folder := range examples {
		p, err := parse(folder, read(t, filepath.Join(folder, "compose.yaml")))
		if err != nil {
			t.Fatal(err)
		}
		sidecars := 0
		for _, s := range p.Services {
			if !isSidecar(s) {
				continue
			}
			sidecars++
			if out, code := check(t, p, s, ""); code != 0 || strings.Contains(out, "warning") {
				t.Errorf("%s: %s: check ends with %d: %s", folder, s.Name, code, out)
			}
			for _, secret := range s.Secrets {
				if _, code := check(t, p, s, secret.Source); code != 2 {
					t.Errorf("%s: %s: check ends with %d without %s", folder, s.Name, code, secret.Source)
				}
			}
			// More than one on a file would take each other's tokens away.
			if strings.Contains(read(t, p.Configs["wxsidecar"].File), "bolt:") && sidecars > 1 {
				t.Errorf("%s: several sidecars, and a store in a file", folder)
			}
		}
		if sidecars == 0 {
			t.Errorf("%s: there is no sidecar", folder)
		}
	}
}

// Redis has the settings with which examples/kubernetes runs it.
func TestRedis(t *testing.T) {
	manifest := read(t, "../kubernetes/redis.yaml")
	for line := range strings.Lines(read(t, "redis/redis.conf")) {
		if !strings.Contains(manifest, "    "+line) && line != "aclfile /run/secrets/users.acl\n" {
			t.Errorf("examples/kubernetes/redis.yaml does not have %q", line)
		}
	}
}
