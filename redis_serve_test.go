package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// redisLines are what makes a replica on the world's Redis.
var redisLines = []string{"store_file: redis.url", "seal: {key_file: key}"}

// A replica that is there before its Redis waits for it, and says why.
func TestRedis_ServeWaitsForTheStore(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("c.yaml", redisLines...)
	w.redis.Kill()
	r := w.begin("c.yaml")
	r.says("the store does not answer yet; trying again")
	r.says("connection refused")
	w.redis.Restart()
	r.ready()
	r.serves(scriptAccount)
	if code := r.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Who waits for the store still hears a signal.
func TestRedis_SignalEndsTheWait(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("c.yaml", redisLines...)
	w.redis.Kill()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := w.begin("c.yaml")
		r.says("the store does not answer yet")
		if code := r.stop(sig); code != 0 || strings.Contains(r.log.String(), `"msg":"ready"`) {
			t.Errorf("%s: exit code %d", sig, code)
		}
		r.says("stopping before the start was complete")
	}
}

// What waiting cannot cure ends the start at once, in words for people.
func TestRedis_MisconfigurationEndsTheStart(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("right.yaml", redisLines...)
	w.start("right.yaml").stop(syscall.SIGTERM)
	f := func(code int, url, key string, want ...string) {
		t.Helper()
		w.write("other.url", url)
		w.configure("c.yaml", "store_file: other.url", key)
		_, stderr, got := w.run("serve", "--config", "c.yaml")
		if got != code || strings.Contains(stderr, "trying again") {
			t.Errorf("exit code %d, want %d:\n%s", got, code, stderr)
		}
		for _, text := range want {
			if !strings.Contains(stderr, text) {
				t.Errorf("it does not say %q:\n%s", text, stderr)
			}
		}
	}
	good, key := w.redis.URL(), "seal: {key_file: key}"
	f(1, strings.Replace(good, redisSecret, "wr0ng", 1), key, "open the store: redis://"+w.redis.Addr(), "refuses the user or the password")
	f(1, strings.Replace(good, ":"+redisSecret+"@", "", 1), key, "password")
	f(1, strings.Replace(good, "redis://", "redis-cluster://", 1), key, "not in cluster mode")
	f(1, good, "seal: {key_file: key2}", "sealed with another key than seal.key_file gives", "hint: seal.key_file is not the key")
	f(2, good, "", "seal.key_file: missing; with a Redis store it must be given", "openssl rand -hex 32")
	f(2, strings.TrimSuffix(strings.Replace(good, "redis://", "redis-sentinel://", 1), "/0"), key, "lacks the master's name")
}

// All replicas have one CA, also those that start at once, and a file with its certificate only
// where data_dir says.
func TestRedis_ReplicasShareTheCA(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	data := filepath.Join(w.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	w.configure("none.yaml", redisLines...)
	w.configure("data.yaml", append(redisLines, "data_dir: data")...)
	w.configure("readonly.yaml", append(redisLines, "data_dir: /proc/nowhere")...)
	replicas := []*replica{w.begin("none.yaml"), w.begin("data.yaml"), w.begin("readonly.yaml")}
	var first string
	for _, r := range replicas {
		r.ready()
		status, pem := r.get("metrics", "/ca.pem")
		if first == "" {
			first = pem
		}
		if status != http.StatusOK || pem != first || !strings.Contains(pem, "BEGIN CERTIFICATE") {
			t.Errorf("/ca.pem: %d %s, want that of the first", status, pem)
		}
	}
	replicas[0].says("no CA certificate is written, as data_dir is not set; apps find it at /ca.pem")
	replicas[2].says("cannot write the CA certificate; apps find it at /ca.pem")
	if pem, err := os.ReadFile(filepath.Join(data, caFileName)); err != nil || string(pem) != first {
		t.Errorf("the file has %s, %v", pem, err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, caFileName)); err == nil {
		t.Error("a certificate was written where nobody asked for one")
	}
	if out, _, code := w.run("ca", "--bare", "--config", "data.yaml"); code != 0 || out != first {
		t.Errorf("wxsidecar ca: %d %s", code, out)
	}
	if _, errs, code := w.run("ca", "--config", "none.yaml"); code != 1 || !strings.Contains(errs, "written only where data_dir says") {
		t.Errorf("wxsidecar ca: %d %s", code, errs)
	}
}

// A replica writes no file: its root file system may be read-only.
func TestRedis_ReadOnlyRoot(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("c.yaml", redisLines...)
	r := w.launch(exec.Command("unshare", "--map-root-user", "--mount", "sh", "-c",
		`mount --make-rprivate / && mount --bind "$PWD" "$PWD" && cd "$PWD" && mount -o remount,ro,bind "$PWD" && mount -o remount,ro,bind / && `+
			"! touch x 2>/dev/null && exec wxsidecar serve --config c.yaml"))
	r.ready()
	r.serves(scriptAccount)
	if _, pem := r.get("metrics", "/ca.pem"); !strings.Contains(pem, "BEGIN CERTIFICATE") {
		t.Errorf("/ca.pem: %s", pem)
	}
	if strings.Contains(r.log.String(), "read-only file system") {
		t.Error("it tried to write")
	}
	if code := r.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A change of the seal key while replicas run, one restarted after the other, loses nothing: no
// token is asked for anew, and the CA is the same.
func TestRedis_RekeyWhileReplicasRun(t *testing.T) {
	t.Parallel()
	w := newRedisWorld(t)
	w.configure("old.yaml", redisLines...)
	w.configure("both.yaml", "store_file: redis.url", "seal: {key_file: key, previous_key_file: key2}")
	w.configure("new.yaml", "store_file: redis.url", "seal: {key_file: key2, previous_key_file: key}")
	w.configure("done.yaml", "store_file: redis.url", "seal: {key_file: key2}")
	running := []*replica{w.start("old.yaml"), w.start("old.yaml")}
	if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
		t.Fatal(err)
	}
	running[1].serves(scriptAuthorizer)
	running[1].serves(scriptAccount)
	_, ca := running[0].get("metrics", "/ca.pem")
	before := w.tokenCalls()

	serve := func() {
		t.Helper()
		for _, r := range running {
			for _, appID := range []string{scriptAuthorizer, scriptAccount} {
				if status, body := r.get("apps", "/cgi-bin/menu/get", "X-Wechat-Appid: "+appID); status != http.StatusOK {
					t.Errorf("%s: %d %s", appID, status, body)
				}
			}
		}
	}
	change := func(config string) {
		t.Helper()
		for i := range running {
			if code := running[i].stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
			running[i] = w.start(config)
			serve()
		}
	}
	change("both.yaml")
	change("new.yaml")
	stop, pushed := make(chan struct{}), make(chan error, 1)
	go func() { // who writes meanwhile
		for {
			select {
			case <-stop:
				close(pushed)
				return
			default:
				if err := w.sim.PushTicket(t.Context(), scriptComponent); err != nil {
					pushed <- err
					close(pushed)
					return
				}
			}
		}
	}()
	out, errs, code := w.run("rekey", "--config", "new.yaml")
	again, _, codeAgain := w.run("rekey", "--config", "new.yaml")
	close(stop)
	if err := <-pushed; err != nil {
		t.Error(err)
	}
	if code != 0 || !strings.Contains(out, "could not be opened: 0") || strings.Contains(out, "sealed anew: 0,") {
		t.Errorf("rekey: %d %s%s", code, out, errs)
	}
	if codeAgain != 0 || !strings.Contains(again, "sealed anew: 0,") {
		t.Errorf("rekey again: %d %s", codeAgain, again)
	}
	serve()
	change("done.yaml")
	if _, pem := running[0].get("metrics", "/ca.pem"); pem != ca {
		t.Error("another CA")
	}
	if after := w.tokenCalls(); after != before {
		t.Errorf("%d token calls before, %d after", before, after)
	}
}
