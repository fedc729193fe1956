package systemd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// secrets are made up, and in the form that WeChat's have.
var secrets = map[string]string{
	"component_secret": "0123456789abcdef0123456789abcdef",
	"push_token":       "token",
	"encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
	"seal_key":         strings.Repeat("1", 64),
}

// service is what the program finds when the unit starts it: its settings, the credentials that the
// unit loads, and its folder.
type service struct{ dir, settings string }

func started(t *testing.T, unit string) *service {
	t.Helper()
	s := &service{dir: t.TempDir()}
	for _, line := range values(unit, "LoadCredential") {
		name, from, _ := strings.Cut(line, ":")
		if from != "/etc/wxsidecar/secrets/"+name {
			t.Errorf("LoadCredential=%s", line)
		}
		s.write(t, name, secrets[name])
	}
	folder := "/var/lib/" + values(unit, "StateDirectory")[0]
	settings := strings.NewReplacer("/run/credentials/wxsidecar.service", s.dir, folder+"/", s.dir+"/").Replace(read(t, "wxsidecar.yaml"))
	s.settings = s.write(t, "wxsidecar.yaml", settings)
	return s
}

func (s *service) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run returns what a verb prints and its exit code. Of the environment only what the unit sets is there.
func (s *service) run(t *testing.T, verb string) (string, int) {
	t.Helper()
	cmd := exec.Command(programtest.Build(t), verb)
	cmd.Dir, cmd.Env = s.dir, []string{"WXSIDECAR_CONFIG=" + s.settings}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// The settings can be used with what the unit gives the program.
func TestSettings(t *testing.T) {
	unit := read(t, "wxsidecar.service")
	if out, code := started(t, unit).run(t, "check"); code != 0 || strings.Contains(out, "warning") {
		t.Errorf("check ends with %d: %s", code, out)
	}
	if !slices.Equal(values(unit, "Environment"), []string{"WXSIDECAR_CONFIG=/etc/wxsidecar/wxsidecar.yaml"}) {
		t.Error("the unit names another file than docs/deploy.md")
	}
	for _, name := range []string{"component_secret", "seal_key"} {
		if _, code := started(t, strings.Replace(unit, "LoadCredential="+name, "#", 1)).run(t, "check"); code != 2 {
			t.Errorf("check ends with %d without %s", code, name)
		}
	}
}

// A fault in the settings is not tried again: serve ends with the code that the unit names.
func TestSettings_FaultIsForAPerson(t *testing.T) {
	unit := read(t, "wxsidecar.service")
	s := started(t, unit)
	s.write(t, "component_secret", "...")
	out, code := s.run(t, "serve")
	if code != 2 || !slices.Equal(values(unit, "RestartPreventExitStatus"), []string{"2"}) {
		t.Errorf("serve ends with %d: %s", code, out)
	}
}
