package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// features are what a configuration switches. Counting calls, limits and the look at
// answers cannot be switched off.
type features int

const (
	featuresOff features = iota // no callers, the account in a header, no body kept, no other listener
	featuresOn                  // a caller with rules, handles, bodies kept for a replay, listeners for metrics and operators
	featuresLog                 // as featuresOn, and a line in the log for each call
)

const callerKey = "the-key-of-the-app-that-calls"

func startSidecar(f features) func(context.Context, *stage, peer, int) (contender, error) {
	return func(ctx context.Context, s *stage, p peer, accounts int) (contender, error) {
		if err := s.build(ctx); err != nil {
			return contender{}, err
		}
		var addresses [3]string
		for i := range addresses {
			var err error
			if addresses[i], err = freeAddress(); err != nil {
				return contender{}, err
			}
		}
		name := fmt.Sprintf("%s-%d", p.name, accounts)
		path, err := s.writeConfig(name, sidecarConfig(f, addresses, accounts))
		if err != nil {
			return contender{}, err
		}
		c, err := s.run(ctx, p, accounts, addresses[0], s.binary, "serve", "--config", path)
		if err == nil && f != featuresOff {
			c.tokens, err = fetchHandles(ctx, c.address, accounts)
		}
		return c, err
	}
}

func sidecarConfig(f features, addresses [3]string, accounts int) string {
	var b strings.Builder
	b.WriteString("store: bolt:DIR/NAME.db\ndata_dir: DIR/NAME\nupstream: {url: https://UPSTREAM, ca_file: DIR/cert.pem}\n")
	b.WriteString("renewal: {rate: 10000, workers: 64}\n")
	level, access := "warn", false
	if f == featuresLog {
		level, access = "info", true
	}
	fmt.Fprintf(&b, "log: {level: %s, access: %v, format: json}\n", level, access)
	metrics, admin := "off", "off"
	if f == featuresOff {
		b.WriteString("limits: {replay_body: 1}\n")
	} else {
		metrics, admin = addresses[1], addresses[2]
		fmt.Fprintf(&b, "callers: [{name: app, key_sha256: %x, allow: [/cgi-bin/*], deny: [/cgi-bin/clear_quota]}]\n",
			sha256.Sum256([]byte(callerKey)))
	}
	fmt.Fprintf(&b, "listen: {apps: %q, metrics: %q, admin: %q, push: \"off\"}\naccounts:\n", addresses[0], metrics, admin)
	for i := range accounts {
		fmt.Fprintf(&b, "  - {appid: %s, secret: 0123456789abcdef0123456789abcdef}\n", appID(i))
	}
	return b.String()
}

// build builds the program of this repository, once and if no other is given.
func (s *stage) build(ctx context.Context) error {
	if s.binary != "" {
		return nil
	}
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return errors.New("cannot tell where the source is")
	}
	binary := filepath.Join(s.dir, "wxsidecar")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, ".")
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the sidecar: %w\n%s", err, out)
	}
	s.binary = binary
	return nil
}

// fetchHandles does what an SDK does at its start: it asks for the token of each
// account, and gets a handle.
func fetchHandles(ctx context.Context, address string, accounts int) ([]string, error) {
	handles := make([]string, accounts)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	const at = 32
	return handles, parallel(at, func(i int) (err error) {
		for ; i < accounts && err == nil; i += at {
			handles[i], err = fetchHandle(ctx, client, address, i)
		}
		return err
	})
}

func fetchHandle(ctx context.Context, client *http.Client, address string, account int) (string, error) {
	url := fmt.Sprintf("http://%s/cgi-bin/token?grant_type=client_credential&appid=%s&secret=%s", address, appID(account), callerKey)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var got struct {
		Handle string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Handle == "" {
		return "", fmt.Errorf("no handle: %s %s", resp.Status, body)
	}
	return got.Handle, nil
}
