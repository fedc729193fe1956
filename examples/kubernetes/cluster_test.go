package kubernetes

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// cluster runs what the manifests of a form describe: its Redis, and WeChat by the simulator.
type cluster struct {
	*objects
	secrets   string // a folder for each Secret
	wechat    string // the simulator's URL
	control   string // where it is told to push a ticket
	redisPort int
	pushPort  int // where the simulator pushes tickets
}

const component = "wx0123456789abcdef"

func newCluster(t *testing.T, form string) *cluster {
	t.Helper()
	c := &cluster{objects: newObjects(), secrets: deploy(t), pushPort: freePort(t)}
	for _, text := range read(t, forms[form]) {
		if err := c.decode([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// workload returns the one with that name.
func (c *cluster) workload(t *testing.T, name string) workload {
	t.Helper()
	for _, w := range c.workloads {
		if w.name == name {
			return w
		}
	}
	t.Fatalf("there is no %s", name)
	return workload{}
}

// startWeChat starts the simulator, which pushes tickets to the push port.
func (c *cluster) startWeChat(t *testing.T) {
	api, control := freePort(t), freePort(t)
	c.wechat, c.control = "http://"+loopback(api), "http://"+loopback(control)
	start(t, t.TempDir(), nil, filepath.Join(programs, "simulator"), "-listen", loopback(api), "-control", loopback(control),
		"-component", component, "-secret", appSecret, "-push-token", "token", "-aes-key", aesKey,
		"-push-url", fmt.Sprintf("http://%s/wechat/%s/event", loopback(c.pushPort), component))
	await(t, "the simulator", func() bool { return answers(c.control+"/", 200) })
}

// startRedis starts Redis with the configuration and the users that the manifests and
// docs/deploy.md give it, and has the URL lead there.
func (c *cluster) startRedis(t *testing.T) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is missing: install Debian's package redis-server")
	}
	c.redisPort = freePort(t)
	dir := t.TempDir()
	conf := strings.NewReplacer("port 6379", fmt.Sprintf("bind 127.0.0.1\nport %d", c.redisPort), "/data", dir,
		"/run/secrets/redis", filepath.Join(c.secrets, "wxsidecar-redis")).Replace(c.configMaps["wxsidecar-redis"].Data["redis.conf"])
	file := filepath.Join(dir, "redis.conf")
	write(t, file, conf, 0o600)
	redis := start(t, dir, nil, program, file)
	await(t, "Redis", func() bool {
		redis.mu.Lock()
		defer redis.mu.Unlock()
		return strings.Contains(redis.out.String(), "Ready to accept")
	})
}

// pushTicket has the simulator push a ticket now, and waits until p has its token.
func (c *cluster) pushTicket(t *testing.T, p *pod) {
	t.Helper()
	res, err := http.Post(c.control+"/control/push-ticket", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	p.waits(t)
}

// pod is what a sidecar's container finds: the files of its volumes, and its variables.
type pod struct {
	workload
	dir                        string
	env                        []string
	apps, push, metrics, admin int
}

// newPod lays out the volumes of a workload's pod below a folder. In the settings it changes the
// paths accordingly, and what edit says (old, new, …); variables say where the test's ports are.
func (c *cluster) newPod(t *testing.T, w workload, edit ...string) *pod {
	t.Helper()
	p := &pod{workload: w, dir: t.TempDir(), apps: freePort(t), push: freePort(t), metrics: freePort(t), admin: freePort(t)}
	for _, m := range w.sidecar().VolumeMounts {
		if err := os.MkdirAll(filepath.Join(p.dir, m.MountPath), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, v := range w.pod.Spec.Volumes {
			if v.Name == m.Name {
				c.fill(t, filepath.Join(p.dir, m.MountPath), v)
			}
		}
	}
	_, text, _ := c.settingsOf(w)
	text = strings.NewReplacer(append(edit, "/run/secrets/", p.dir+"/run/secrets/", "bolt:/data/", "bolt:"+p.dir+"/data/")...).Replace(text)
	settings := filepath.Join(p.dir, w.sidecar().Env[0].Value)
	write(t, settings, text, 0o600)
	p.env = []string{
		"WXSIDECAR_CONFIG=" + settings, "WXSIDECAR_UPSTREAM_URL=" + c.wechat, "WXSIDECAR_SHUTDOWN_DELAY=0s",
		"WXSIDECAR_LISTEN_METRICS=" + loopback(p.metrics), "WXSIDECAR_LISTEN_ADMIN=" + loopback(p.admin), "WXSIDECAR_LISTEN_APPS=" + loopback(p.apps),
	}
	if w.port("push", 0) != 0 {
		p.env = append(p.env, "WXSIDECAR_LISTEN_PUSH="+loopback(p.push))
	}
	return p
}

// fill puts what a volume holds into a folder.
func (c *cluster) fill(t *testing.T, folder string, v core.Volume) {
	t.Helper()
	if v.Secret != nil {
		c.mount(t, folder, v.Secret.SecretName, v.Secret.Items)
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			c.mount(t, folder, s.Secret.Name, s.Secret.Items)
		}
	}
}

func (c *cluster) mount(t *testing.T, folder, secret string, items []core.KeyToPath) {
	t.Helper()
	keys, err := os.ReadDir(filepath.Join(c.secrets, secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		name := key.Name()
		for _, item := range items {
			if name = ""; item.Key == key.Name() {
				name = item.Path
				break
			}
		}
		if name == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.secrets, secret, key.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if c.redisPort != 0 {
			text = []byte(strings.ReplaceAll(string(text), "wxsidecar-redis:6379", loopback(c.redisPort)))
		}
		write(t, filepath.Join(folder, name), string(text), 0o600)
	}
}

// verb runs the program in the pod.
func (p *pod) verb(t *testing.T, args ...string) (string, int) {
	t.Helper()
	return run(t, p.dir, p.env, filepath.Join(programs, "wxsidecar"), args...)
}

// waits has the pod wait for its tokens, by wxsidecar wait.
func (p *pod) waits(t *testing.T) {
	t.Helper()
	if out, code := p.verb(t, "wait", "--timeout=1m", "--interval=50ms"); code != 0 {
		t.Fatalf("wait ends with %d: %s", code, out)
	}
}

// serve starts the pod's sidecar, and asks its probes until they are content.
func (p *pod) serve(t *testing.T) *process {
	t.Helper()
	sidecar := start(t, p.dir, p.env, filepath.Join(programs, "wxsidecar"), "serve")
	c := p.sidecar()
	for _, probe := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe != nil {
			url := "http://" + path.Join(loopback(p.metrics), probe.HTTPGet.Path)
			await(t, url, func() bool { return answers(url, 200) })
		}
	}
	return sidecar
}
