package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands of docs/deploy.md make what the compose file names, in a copy of this folder. The
// stand-ins for docker and sudo keep what they are told.
func TestDocs(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../../docs/deploy.md"), "\n## Docker compose\n")
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(section)
	dir, bin := t.TempDir(), t.TempDir()
	folder := filepath.Join(dir, "examples/compose/file")
	for _, name := range []string{"component_secret", "push_token", "encoding_aes_key"} {
		write(t, filepath.Join(folder, "secrets", name), values[name])
	}
	for _, program := range []string{"docker", "sudo"} {
		write(t, filepath.Join(bin, program), "#!/bin/sh\necho "+program+" \"$@\" >>"+bin+"/told\n")
		if err := os.Chmod(filepath.Join(bin, program), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", block[1])
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, err := parse(folder, read(t, "file/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	told := read(t, filepath.Join(bin, "told"))
	for name, secret := range p.Secrets {
		if info, err := os.Stat(secret.File); err != nil || info.Mode().Perm() != 0o400 || !strings.Contains(told, "secrets/"+name) {
			t.Errorf("%s: %v, %v; told: %s", name, info, err, told)
		}
	}
	for _, want := range []string{"sudo chown 65532 ", "docker compose up -d\n", "docker compose exec wxsidecar /wxsidecar wait"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %s", want, told)
		}
	}
}
