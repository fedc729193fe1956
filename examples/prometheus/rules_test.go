package prometheus

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// alert is one alert of a file of rules.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

type ruleFile struct {
	Groups []struct {
		Name     string
		Interval string `yaml:",omitempty"`
		Rules    []alert
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func rules(t *testing.T, text string) (all []alert) {
	t.Helper()
	var f ruleFile
	if err := yaml.Unmarshal([]byte(text), &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestRules_Promtool(t *testing.T) {
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"}, {"check", "rules", "--lint-fatal", "alerts.yml"}, {"test", "rules", "alerts_test.yml"},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Each alert says how urgent it is, has words, and leads to its entry of the runbook, which has
// what it must; and there is no entry without an alert.
func TestRules_HaveTheirRunbook(t *testing.T) {
	const book = "https://github.com/wxsidecar/wxsidecar/blob/main/docs/runbook.md#"
	entries := map[string]string{}
	for _, entry := range strings.Split(readText(t, "../../docs/runbook.md"), "\n### ")[1:] {
		name, text, _ := strings.Cut(entry, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		entries[name] = text
	}
	for _, a := range rules(t, readText(t, "alerts.yml")) {
		if s := a.Labels["severity"]; s != "critical" && s != "warning" || len(a.Labels) != 1 {
			t.Errorf("%s: labels %v", a.Alert, a.Labels)
		}
		if a.Annotations["summary"] == "" || !strings.HasSuffix(a.Annotations["description"], ".") || a.Annotations["runbook_url"] != book+strings.ToLower(a.Alert) {
			t.Errorf("%s: annotations %v", a.Alert, a.Annotations)
		}
		for _, part := range []string{"**Means.** ", "**See.** ", "**Do.** "} {
			if !strings.Contains(entries[a.Alert], "\n"+part) {
				t.Errorf("docs/runbook.md: the entry of %s has no %s", a.Alert, part)
			}
		}
		delete(entries, a.Alert)
	}
	for name := range entries {
		t.Errorf("docs/runbook.md: there is no alert %s", name)
	}
}

// Each alert is seen to fire and to be quiet by alerts_test.yml.
func TestRules_AreAllTested(t *testing.T) {
	var tests struct {
		Tests []struct {
			Name  string
			Cases []struct {
				Expr    string
				Samples []any `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(readText(t, "alerts_test.yml")), &tests); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, one := range tests.Tests {
		for _, c := range one.Cases {
			if !strings.Contains(c.Expr, "ALERTS") {
				t.Errorf("%s: %s is not about alerts", one.Name, c.Expr)
			}
			fires[one.Name] = fires[one.Name] || len(c.Samples) > 0
			quiet[one.Name] = quiet[one.Name] || len(c.Samples) == 0 && fires[one.Name] // after it has fired
		}
	}
	for _, a := range rules(t, readText(t, "alerts.yml")) {
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: fires %t, resolves %t", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

var metricName = regexp.MustCompile(`\bwxsidecar_\w+`)

// known are the names of our metrics, which a test of docs/metrics.md holds it to, with those of
// the series of histograms.
func known(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(wxsidecar_\\w+)`").FindAllStringSubmatch(readText(t, "../../docs/metrics.md"), -1) {
		names = append(names, m[1], m[1]+"_bucket", m[1]+"_sum", m[1]+"_count")
	}
	return names
}

// Every metric that a rule names exists.
func TestRules_NameMetricsThatExist(t *testing.T) {
	names := known(t)
	for _, a := range rules(t, readText(t, "alerts.yml")) {
		for _, name := range metricName.FindAllString(a.Expr, -1) {
			if !slices.Contains(names, name) {
				t.Errorf("%s: there is no metric %s", a.Alert, name)
			}
		}
	}
}
