package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

var examples = []string{"file", "redis"}

// faultsOf parses a compose file and returns what is wrong with it.
func faultsOf(folder, text string) (found []string) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	p, err := parse(folder, text)
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range p.Services {
		if isSidecar(s) || s.Name == "redis" {
			hardened(s, want)
		} else {
			app(p, s, want)
		}
	}
	for name, secret := range p.Secrets {
		want(filepath.Dir(secret.File) == filepath.Join(folder, "secrets"), "the secret %s is not where docs/deploy.md puts it", name)
		want(slices.ContainsFunc(p.ServiceNames(), func(s string) bool { return has(p.Services[s], name) }), "nobody has the secret %s", name)
	}
	return found
}

func parse(folder, text string) (*types.Project, error) {
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "compose.yaml"), Content: []byte(text)}},
	}, func(o *loader.Options) { o.SetProjectName("wechat", true) })
}

func isSidecar(s types.ServiceConfig) bool { return s.Image == "wxsidecar" }

func has(s types.ServiceConfig, secret string) bool {
	return slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == secret })
}

type wants func(ok bool, format string, args ...any)

func hardened(s types.ServiceConfig, want wants) {
	want(s.ReadOnly, "%s: the root file system can be written", s.Name)
	want(slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0, "%s has capabilities", s.Name)
	want(slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "%s may gain privileges", s.Name)
	want(s.User == map[bool]string{true: "65532:65532", false: "999:999"}[isSidecar(s)], "%s does not run as the image's user", s.Name)
	want(s.HealthCheck != nil && len(s.HealthCheck.Test) > 1 && s.HealthCheck.Test[0] == "CMD", "%s has no health check that works without a shell", s.Name)
	// shutdown.grace, shutdown.delay and five seconds; the settings have the defaults.
	want(s.StopGracePeriod != nil && time.Duration(*s.StopGracePeriod) >= 30*time.Second, "%s is killed before it can end", s.Name)
	for _, port := range s.Ports {
		want(port.HostIP == "127.0.0.1", "%s: the port %s is open to the world, in plain HTTP", s.Name, port.Published)
		want(port.Target == 7081 || port.Target == 7082, "%s: the port %d is for nobody outside", s.Name, port.Target)
	}
	if s.Name == "redis" {
		_, alone := s.Networks["store"]
		want(alone && len(s.Networks) == 1 && len(s.Ports) == 0, "others than the sidecars reach Redis")
	}
}

// app wants an app to live in the network of a sidecar, and to have nothing of it.
func app(p *types.Project, s types.ServiceConfig, want wants) {
	name, ok := strings.CutPrefix(s.NetworkMode, "service:")
	want(ok && isSidecar(p.Services[name]), "%s is not in the network of a sidecar", s.Name)
	want(s.DependsOn[name].Condition == types.ServiceConditionHealthy, "%s starts before its sidecar", s.Name)
	want(s.DependsOn[name].Restart, "%s keeps a network that is gone when its sidecar is started anew", s.Name)
	want(len(s.Secrets) == 0 && len(s.Configs) == 0 && len(s.Volumes) == 0, "%s has what is the sidecar's", s.Name)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCompose(t *testing.T) {
	for _, folder := range examples {
		for _, fault := range faultsOf(folder, read(t, filepath.Join(folder, "compose.yaml"))) {
			t.Errorf("%s: %s", folder, fault)
		}
	}
}

// Each check sees what it is for: a compose file with one slip in it.
func TestCompose_FaultsAreFound(t *testing.T) {
	f := func(folder, old, with, want string) {
		t.Helper()
		text := read(t, filepath.Join(folder, "compose.yaml"))
		found := faultsOf(folder, strings.Replace(text, old, with, 1))
		if !strings.Contains(text, old) || !slices.ContainsFunc(found, func(fault string) bool { return strings.Contains(fault, want) }) {
			t.Errorf("%s: %q in the place of %q: %q", folder, with, old, found)
		}
	}
	for _, folder := range examples {
		f(folder, "read_only:", "readonly:", "readonly")
		f(folder, ":/data\"]", "x:/data\"]", "undefined volume")
		f(folder, "source: wxsidecar,", "source: sidecar,", "undefined config")
		f(folder, "secrets: [component_secret, ", "secrets: [secret, ", "undefined secret")
		f(folder, "read_only: true", "read_only: false", "can be written")
		f(folder, "cap_drop: [ALL]", "cap_drop: [NET_RAW]", "has capabilities")
		f(folder, "no-new-privileges:true", "seccomp:unconfined", "may gain privileges")
		f(folder, `"65532:65532"`, `"0:0"`, "the image's user")
		f(folder, "[CMD, /wxsidecar, health]", `"/wxsidecar health"`, "without a shell")
		f(folder, "stop_grace_period: 35s", "stop_grace_period: 10s", "killed before")
		f(folder, `"127.0.0.1:7081:7081"`, `"7081:7081"`, "open to the world")
		f(folder, `"127.0.0.1:7082:7082"`, `"127.0.0.1:7083:7083"`, "for nobody outside")
		f(folder, "network_mode: service:wxsidecar\n", "network_mode: host\n", "not in the network")
		f(folder, "condition: service_healthy, restart: true", "condition: service_started, restart: true", "starts before")
		f(folder, "condition: service_healthy, restart: true", "condition: service_healthy", "a network that is gone")
		f(folder, "image: your-app\n", "image: your-app\n    secrets: [seal_key]\n", "what is the sidecar's")
		f(folder, "file: secrets/seal_key", "file: seal_key", "not where docs/deploy.md")
		f(folder, "encoding_aes_key, seal_key", "encoding_aes_key", "nobody has the secret seal_key")
	}
	f("redis", "networks: [store]", "networks: [store, default]", "others than the sidecars")
}
