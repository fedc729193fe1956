package config

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

func TestFixedChanges(t *testing.T) {
	old, changed := Default(), Default()
	if got := FixedChanges(&old, &changed); len(got) != 0 {
		t.Errorf("two equal configurations differ in %q", got)
	}
	changed.Store = secret.New("memory:")
	changed.Listen.Apps = Off
	changed.Upstream.Fallback = nil
	changed.Upstream.Proxy = secret.New("http://10.0.0.8:3128")
	changed.Components = []Component{{AppID: "wx7f00c0de00000001"}}
	changed.Callers = []Caller{{Name: "shop"}}
	changed.Apps.DefaultComponent = "wx7f00c0de00000001"
	want := []string{"listen.apps", "apps.default_component", "upstream.fallback", "upstream.proxy", "store"}
	if diff := cmp.Diff(want, FixedChanges(&old, &changed)); diff != "" {
		t.Error(diff)
	}
}

func TestInert(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		l := loadText(t, minimal+text, nil)
		if got := l.Inert(); l.Err() != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, got %q", text, l.Err(), got)
		}
	}
	f("")
	f("log: {level: debug}\nadmin: {pprof: true}\nevents: [{url: 'http://127.0.0.1:3000'}]\n", "admin.pprof")
	f("listen: {admin: 127.0.0.1:7083}\n", "listen.admin") // the default, by hand
	f("listen: {admin: 'off'}\n")
	for _, key := range later {
		if path, typ := pathOfVariable(variableOfPath(key)); typ == nil {
			t.Errorf("%s is no key (%v)", key, path)
		}
	}
}
