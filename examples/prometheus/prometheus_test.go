package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// server is a real Prometheus that scrapes sidecars.
type server struct {
	t   *testing.T
	url string
}

// startPrometheus starts one with rules until the test ends. The sidecars' names are the label
// instance.
func startPrometheus(t *testing.T, rules string, sidecars []*sidecar, flags ...string) *server {
	t.Helper()
	dir := t.TempDir()
	config := "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\nrule_files: [alerts.yml]\n" +
		"scrape_configs:\n  - job_name: wxsidecar\n    static_configs:\n"
	for _, s := range sidecars {
		config += fmt.Sprintf("      - {targets: ['127.0.0.1:%d'], labels: {instance: %s}}\n", s.ports.metrics, s.name)
	}
	for name, text := range map[string]string{"prometheus.yml": config, "alerts.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", programtest.FreePort(t))
	cmd := exec.Command("prometheus", append(flags, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)...)
	cmd.Dir, cmd.Stderr = dir, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // Prometheus' own end is no matter of the test
		_ = log.Close()
	})
	p := &server{t, "http://" + address}
	until(t, "Prometheus is ready", func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// result is one series of an answer: its labels, and its value or values with their times.
type result struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
	// Histogram stands in place of Value where the result is a native one.
	Histogram [2]any
}

// ask calls the HTTP API.
func (p *server) ask(path string, params url.Values, into any) {
	p.t.Helper()
	resp, err := http.Get(p.url + "/api/v1/" + path + "?" + params.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		p.t.Fatal(err)
	}
	if answer.Status != "success" {
		p.t.Fatalf("Prometheus answers to %v: %s", params, answer.Error)
	}
}

// query returns what a query gives now.
func (p *server) query(expr string) []result {
	p.t.Helper()
	var data struct{ Result []result }
	p.ask("query", url.Values{"query": {expr}}, &data)
	return data.Result
}

// firing returns the names of the alerts that fire for a sidecar.
func (p *server) firing(instance string) map[string]bool {
	p.t.Helper()
	var data struct {
		Alerts []struct {
			Labels, Annotations map[string]string
			State               string
		}
	}
	p.ask("alerts", nil, &data)
	found := map[string]bool{}
	for _, a := range data.Alerts {
		if text := a.Annotations["description"]; strings.Contains(text, "<error") || strings.Contains(text, "<no value>") {
			p.t.Errorf("%s: the description is %q", a.Labels["alertname"], text)
		}
		if a.State == "firing" && a.Labels["instance"] == instance {
			found[a.Labels["alertname"]] = true
		}
	}
	return found
}
