package config

import (
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
