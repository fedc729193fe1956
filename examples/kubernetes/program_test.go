package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func answers(url string, status int) bool {
	res, err := http.Get(url)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == status
}

// The settings can be used with the secrets that their pod has, and need each of them.
func TestSettings(t *testing.T) {
	t.Parallel()
	for form := range forms {
		c := newCluster(t, form)
		for _, w := range c.workloads {
			if w.sidecar() == nil {
				continue
			}
			p := c.newPod(t, w)
			p.env = p.env[:1] // nothing but the file
			if out, code := p.verb(t, "check"); code != 0 || strings.Contains(out, "warning") {
				t.Errorf("%s: %s: check ends with %d: %s", form, w.name, code, out)
			}
			secrets, err := filepath.Glob(filepath.Join(p.dir, "run/secrets/wxsidecar/*"))
			if err != nil || len(secrets) < 3 {
				t.Fatalf("%v: %v", secrets, err)
			}
			for _, secret := range secrets {
				text, err := os.ReadFile(secret)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(secret); err != nil {
					t.Fatal(err)
				}
				if _, code := p.verb(t, "check"); code != 2 {
					t.Errorf("%s: %s: check ends with %d without %s, which is mounted for nothing", form, w.name, code, filepath.Base(secret))
				}
				write(t, secret, string(text), 0o600)
			}
		}
	}
}

// A sidecar with a file gets its ticket while its pod is not ready, and ends in order.
func TestNativeSidecar(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "native sidecar")
	c.startWeChat(t)
	p := c.newPod(t, c.workload(t, "shop"))
	p.env = append(p.env, "WXSIDECAR_LISTEN_PUSH="+loopback(c.pushPort))
	sidecar := p.serve(t)
	c.pushTicket(t, p)
	if out, code := p.verb(t, "quit"); code != 0 || sidecar.code() != 0 {
		t.Errorf("quit ends with %d: %s", code, out)
	}
}

// Three replicas on the Redis of the manifests: a ticket that one receives serves all, and apps call by the
// Service's name, each with a key.
func TestShared(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "shared")
	c.startWeChat(t)
	c.startRedis(t)
	key := "the key of shop"
	sum := sha256.Sum256([]byte(key))
	w := c.workload(t, "wxsidecar")
	for i := range w.replicas {
		p := c.newPod(t, w, strings.Repeat("0", 64), hex.EncodeToString(sum[:]))
		if i == 0 {
			p.env = append(p.env, "WXSIDECAR_LISTEN_PUSH="+loopback(c.pushPort))
		}
		if p.serve(t); i == 0 {
			c.pushTicket(t, p)
		}
		p.waits(t)
		call := func(host, key, want string) {
			t.Helper()
			req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/cgi-bin/menu/get", loopback(p.apps)), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("X-Wechat-Appid", "wxa000000000000001")
			req.Header.Set("X-Wxsidecar-Key", key)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if got := res.Header.Get("X-Wxsidecar-Error"); got != want {
				t.Errorf("%s with the key %q: %q", host, key, got)
			}
		}
		call("wxsidecar:7080", key, "")
		call("wxsidecar:7080", "another", "caller_refused")
		call("other.example.com", key, "forbidden_host")
	}
}

// The Job ends as its work does, and its sidecar with it.
func TestJob(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "job")
	c.startWeChat(t)
	c.startRedis(t)
	shop := c.newPod(t, c.workload(t, "shop"))
	shop.env = append(shop.env, "WXSIDECAR_LISTEN_PUSH="+loopback(c.pushPort))
	shop.serve(t)
	c.pushTicket(t, shop)
	for _, want := range []int{0, 3} {
		p := c.newPod(t, c.workload(t, "nightly"))
		sidecar := p.serve(t)
		bin := t.TempDir()
		write(t, filepath.Join(bin, "nightly"), fmt.Sprintf("#!/bin/sh\necho worked\nexit %d\n", want), 0o700)
		app := p.pod.Spec.Containers[1]
		// The app's container has no settings; only the test's ports are others than the defaults.
		env := append(p.env[3:5:5], "PATH="+bin+":"+programs+":"+os.Getenv("PATH"))
		out, code := run(t, p.dir, env, app.Command[0], append(app.Command[1:], app.Args...)...)
		if code != want || !strings.Contains(out, "worked") {
			t.Errorf("the Job ends with %d, not %d: %s", code, want, out)
		}
		if code := sidecar.code(); code != 0 {
			t.Errorf("its sidecar ends with %d", code)
		}
	}
}
