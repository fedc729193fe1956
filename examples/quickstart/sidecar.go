package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const modulePath = "github.com/wxsidecar/wxsidecar"

// stopTimeout is how long the sidecar may take to end before it is killed.
const stopTimeout = 10 * time.Second

// build builds the sidecar into dir and returns its path.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "wxsidecar")
	// Without the stamp of the version control, as that fails in a clone which
	// belongs to another user.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, modulePath)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sidecar: %w\n%srun this inside a clone of %s, or name a binary with -sidecar", err, out, modulePath)
	}
	return binary, nil
}

// sidecar is the real program as a child process.
type sidecar struct {
	cmd *exec.Cmd
	log *childLog
	// config and logFile are the paths of its files.
	config, logFile string
	// apps, push and metrics are the addresses of its listeners.
	apps, push, metrics string
	// ended is closed when the process has ended; then result is how.
	ended  chan struct{}
	result error
}

// startSidecar starts the binary with a configuration in dir and returns once its
// listeners are open.
func startSidecar(ctx context.Context, binary, dir string, w *world, a *app) (*sidecar, error) {
	s := &sidecar{
		config: filepath.Join(dir, "wxsidecar.yaml"), logFile: filepath.Join(dir, "wxsidecar.log"),
		ended: make(chan struct{}),
	}
	if err := s.configure(dir, w.url, a.url); err != nil {
		return nil, err
	}
	file, err := os.Create(s.logFile)
	if err != nil {
		return nil, err
	}
	s.log = newChildLog(file)
	s.cmd = exec.Command(binary, "serve", "--config", s.config)
	s.cmd.Stderr = s.log
	s.cmd.Env = withoutOurs(os.Environ())
	s.cmd.SysProcAttr = childAttributes()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sidecar: %w", err), file.Close())
	}
	go s.await(file)
	select {
	case <-s.log.ready:
		s.apps, s.push, s.metrics = s.log.address("apps"), s.log.address("push"), s.log.address("metrics")
		w.setURLs(s.push)
		return s, nil
	case <-s.ended:
		return nil, s.failure()
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), s.stop())
	}
}

// await is the goroutine that waits for the end of the process.
func (s *sidecar) await(log *os.File) {
	s.result = errors.Join(s.cmd.Wait(), log.Close())
	close(s.ended)
}

// configure writes the sidecar's configuration.
func (s *sidecar) configure(dir, wechatURL, appURL string) error {
	ports, err := choosePorts()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`# Made by examples/quickstart for the simulated WeChat.
listen: {apps: "127.0.0.1:%d", push: "127.0.0.1:%d", metrics: "127.0.0.1:%d", admin: "off"}
components:
  - appid: %s
    secret: %s
    push_token: %s
    encoding_aes_key: %s
push: {public_url: "http://127.0.0.1:%d", login_url: %q}
events: [{url: %q, format: json}]
upstream: {url: %q}
store: %q
log: {format: json}
`, ports[0], ports[1], ports[2], component, appSecret, pushToken, pushAESKey, ports[1], wechatURL, appURL, wechatURL, "bolt:"+filepath.Join(dir, "wxsidecar.db"))
	return os.WriteFile(s.config, []byte(text), 0o600)
}

// choosePorts returns the sidecar's usual ports if all of them are free, else others that
// are.
func choosePorts() ([3]int, error) {
	if ports, err := freePorts(7080, 7081, 7082); err == nil {
		return ports, nil
	}
	return freePorts(0, 0, 0)
}

// freePorts opens each port, to see whether it can be had, and closes it. 0 means any.
func freePorts(wanted ...int) (ports [3]int, err error) {
	for i, port := range wanted {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return ports, err
		}
		defer l.Close() //nolint:errcheck // nothing came
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// page is the page on which merchants authorise.
func (s *sidecar) page() string { return "http://" + s.push + "/wechat/" + component + "/authorize" }

// withoutOurs takes the sidecar's own variables out of an environment: they would
// beat the file.
func withoutOurs(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "WXSIDECAR_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// stop ends the process as an orchestrator does, and by force if it does not heed.
func (s *sidecar) stop() error {
	select {
	case <-s.ended:
		return nil // told already
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may end this very moment
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	if s.result != nil {
		return fmt.Errorf("the sidecar did not stop in order: %w\n%s", s.result, s.log.tail())
	}
	return nil
}

// failure says how a process ended that should not have.
func (s *sidecar) failure() error {
	how := "exit code 0"
	if s.result != nil {
		how = s.result.Error()
	}
	return fmt.Errorf("the sidecar ended by itself (%s):\n%s", how, s.log.tail())
}
