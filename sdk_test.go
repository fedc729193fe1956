package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/config"
)

// Every page is one of the verb's, has what a reader needs, and no value that only
// the defaults have is left when another is configured.
func TestGuides(t *testing.T) {
	files, err := os.ReadDir("docs/sdk")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".md")
		if name != "README" && name != "ca" && !strings.HasSuffix(name, ".zh-CN") && !slices.Contains(guideNames, name) {
			t.Errorf("docs/sdk/%s is not printed by any verb", f.Name())
		}
	}
	embedded, err := guides.ReadDir("docs/sdk")
	if err != nil || len(embedded) != len(guideNames)+1 { // ca is the verb ca's
		t.Errorf("%d pages are in the binary: %v; want the %d that verbs print", len(embedded), err, len(guideNames)+1)
	}
	index := readText(t, "docs/sdk/README.md")
	c := config.Default()
	c.Listen.Apps, c.DataDir = "10.1.1.1:9999", "/srv/wx"
	c.Listen.Metrics = "10.1.1.1:9998"
	for _, name := range append(slices.Clone(guideNames), "ca") {
		text := readGuide(name)
		if regexp.MustCompile(`\p{Han}`).MatchString(text) {
			t.Errorf("%s: what the verb prints has Chinese", name)
		}
		if text == "" || !strings.Contains(index, "("+name+".md)") {
			t.Errorf("%s: no text, or not in README.md", name)
		}
		if left := regexp.MustCompile(`\S*(?:7080|7082|/var/lib/wxsidecar)\S*`).FindString(fillGuide(text, c)); left != "" {
			t.Errorf("%s: %q is left of the defaults", name, left)
		}
		if name == "ca" {
			continue
		}
		for what, pattern := range map[string]string{
			"a title": `^# `, "the mode": `(?m)^(Base URL|HTTPS_PROXY|Alias)|: (base URL|proxy)`,
			"the account": `handle|X-Wechat-Appid|two accounts|AppID`, "other traffic": `NO_PROXY`,
			"whether it was run": `(?m)^(Run|Not run) by our tests`,
		} {
			if !regexp.MustCompile(pattern).MatchString(text) {
				t.Errorf("%s does not tell %s", name, what)
			}
		}
	}
}
