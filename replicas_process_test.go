package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// replicaNode is one sidecar, which may be ended and started again.
type replicaNode struct {
	world   *replicaWorld
	n       int
	dir     string
	process atomic.Pointer[replicaProcess]
}

// replicaProcess is one run of a replica.
type replicaProcess struct {
	name                       string
	cmd                        *exec.Cmd
	apps, push, metrics, admin string
	client                     *http.Client
	// stopped says that it was told to end, or killed; done is closed once it has ended.
	stopped atomic.Bool
	done    chan struct{}
	err     error
}

// running returns the process, or nil where it does not run or was told to end.
func (r *replicaNode) running() *replicaProcess {
	if p := r.process.Load(); p != nil && !p.stopped.Load() {
		return p
	}
	return nil
}

func (r *replicaNode) logFile() string { return filepath.Join(r.dir, "log") }

// armed is the file with which the program ends at its checkpoint.
func (r *replicaNode) armed() string { return filepath.Join(r.dir, "armed") }

// arm and disarm say whether it ends there.
func (r *replicaNode) arm() {
	r.world.t.Helper()
	if err := os.WriteFile(r.armed(), nil, 0o600); err != nil {
		r.world.t.Fatal(err)
	}
}

func (r *replicaNode) disarm() {
	if err := os.Remove(r.armed()); err != nil {
		r.world.t.Error(err)
	}
}

// start starts the program, and env beside what all have.
func (r *replicaNode) start(env ...string) *replicaProcess {
	w := r.world
	w.t.Helper()
	cmd := exec.Command(w.binary, "serve")
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_COMPONENT_APPID="+replicaComponent, "WXSIDECAR_COMPONENT_SECRET=component-secret",
		"WXSIDECAR_COMPONENT_PUSH_TOKEN="+replicaPushToken, "WXSIDECAR_COMPONENT_ENCODING_AES_KEY="+replicaAESKey,
		"WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=127.0.0.1:0", "WXSIDECAR_LISTEN_METRICS=127.0.0.1:0",
		"WXSIDECAR_LISTEN_ADMIN=127.0.0.1:0", "WXSIDECAR_DATA_DIR="+r.dir, "WXSIDECAR_STORE="+w.options.Store,
		"WXSIDECAR_SEAL_KEY_FILE="+w.keyFile, "WXSIDECAR_UPSTREAM_URL="+w.upstream, "WXSIDECAR_LOG_FORMAT=json",
	)
	cmd.Env = append(append(cmd.Env, w.options.Env...), env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	p := &replicaProcess{name: fmt.Sprint(r.n), cmd: cmd, done: make(chan struct{}), client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience,
	}}
	w.t.Cleanup(func() { p.kill(); p.client.CloseIdleConnections() })
	r.readLog(p, stderr)
	r.process.Store(p)
	return p
}

// readLog takes the addresses from the log, and goes on writing it to its file until the program
// ends.
func (r *replicaNode) readLog(p *replicaProcess, stderr io.Reader) {
	t := r.world.t
	t.Helper()
	log, err := os.OpenFile(r.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	addresses := map[string]string{}
	for len(addresses) < 4 && err == nil {
		var text []byte
		text, err = lines.ReadBytes('\n')
		_, _ = log.Write(text)
		var line struct{ Msg, Listener, Address string }
		if json.Unmarshal(text, &line) == nil && line.Msg == "ready" {
			addresses[line.Listener] = line.Address
		}
	}
	p.apps, p.push, p.metrics, p.admin = addresses["apps"], addresses["push"], addresses["metrics"], addresses["admin"]
	go func() {
		_, _ = io.Copy(log, lines)
		_ = log.Close()
		p.err = p.cmd.Wait()
		p.stopped.Store(true)
		close(p.done)
	}()
	if err != nil {
		t.Fatalf("replica %d did not start: %v", r.n, err)
	}
}

// kill ends the process as kill -9 does.
func (p *replicaProcess) kill() {
	p.stopped.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the process as a rolling restart does, and returns how it ended.
func (p *replicaProcess) stop() error {
	p.stopped.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	return p.err
}

// call makes one call for an account, and returns what is wrong with the answer, or "".
func (p *replicaProcess) call(appID string) string {
	path := "/cgi-bin/menu/get"
	if appID == replicaComponent {
		path = "/wxa/gettemplatelist"
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+p.apps+path+"?replica="+p.name, nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("X-Wechat-Appid", appID)
	resp, err := p.client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	var answer struct{ Errcode int }
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || resp.StatusCode != http.StatusOK || answer.Errcode != 0 {
		return fmt.Sprintf("status %d, %s, error %v", resp.StatusCode, text, err)
	}
	return ""
}
