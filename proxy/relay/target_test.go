package relay_test

import (
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

func TestNewTarget(t *testing.T) {
	f := func(url, want string) {
		t.Helper()
		if got := mustTarget(t, relay.TargetOptions{URL: url}).String(); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
	f("http://127.0.0.1:3000/wx?token=s3cr3t", "http://127.0.0.1:3000/wx")
	f("https://app.example", "https://app.example")
	f("unix:///run/app.sock", "unix:///run/app.sock:/")
	f("unix:///run/app.sock:/wx?token=s3cr3t", "unix:///run/app.sock:/wx")
}

func TestNewTarget_Refuses(t *testing.T) {
	f := func(o relay.TargetOptions, why string) {
		t.Helper()
		_, err := relay.NewTarget(o)
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v; want an error with %q", o.URL, err, why)
		}
	}
	f(relay.TargetOptions{}, "not an absolute")
	f(relay.TargetOptions{URL: "127.0.0.1:3000?s3cr3t"}, "not an absolute")
	f(relay.TargetOptions{URL: "ftp://h/"}, "not an absolute")
	f(relay.TargetOptions{URL: "http:///wx"}, "no host")
	f(relay.TargetOptions{URL: "http://u:s3cr3t@h/"}, "user or password")
	f(relay.TargetOptions{URL: "http://h/#a"}, "fragment")
	f(relay.TargetOptions{URL: "unix://run/app.sock"}, "absolute socket path")
	f(relay.TargetOptions{URL: "unix:///run/app.sock:wx"}, "no /path")
	f(relay.TargetOptions{URL: "unix:///" + strings.Repeat("a", 107)}, "absolute socket path")
	f(relay.TargetOptions{URL: "http://h/", Format: "yaml"}, "neither xml nor json")
	f(relay.TargetOptions{URL: "http://h/", Secret: secret.New("whsec_s3cr3t!")}, "not base64")
	f(relay.TargetOptions{URL: "http://h/", Secret: secret.New("whsec_")}, "not base64")
}

func TestTarget_Wants(t *testing.T) {
	var (
		authorized = relay.Delivery{AppID: "wxa", Component: "wxc", InfoType: "authorized"}
		noAccount  = relay.Delivery{Component: "wxc", InfoType: "notify_third_fasteregister"}
		text       = relay.Delivery{AppID: "wxa", Component: "wxc", MsgType: "text"}
		click      = relay.Delivery{AppID: "wxa", Component: "wxc", MsgType: "event", Event: "CLICK"}
		view       = relay.Delivery{AppID: "wxb", Component: "wxd", MsgType: "event", Event: "VIEW"}
		own        = relay.Delivery{AppID: "wxo", MsgType: "text"}
	)
	names := map[*relay.Delivery]string{&authorized: "authorized", &noAccount: "noAccount", &text: "text", &click: "click", &view: "view", &own: "own"}
	f := func(o relay.TargetOptions, want ...*relay.Delivery) {
		t.Helper()
		o.URL = "http://127.0.0.1"
		target, wanted := mustTarget(t, o), map[*relay.Delivery]bool{}
		for _, d := range want {
			wanted[d] = true
		}
		for d, name := range names {
			if target.Wants(d) != wanted[d] {
				t.Errorf("%+v: wants %s: %t", o, name, target.Wants(d))
			}
		}
	}
	f(relay.TargetOptions{}, &authorized, &noAccount, &text, &click, &view, &own)
	f(relay.TargetOptions{InfoTypes: []string{"AUTHORIZED"}}, &authorized)
	f(relay.TargetOptions{MsgTypes: []string{"Text"}}, &text, &own)
	f(relay.TargetOptions{MsgTypes: []string{"event"}}, &click, &view)
	f(relay.TargetOptions{Events: []string{"click"}}, &click)
	f(relay.TargetOptions{MsgTypes: []string{"text"}, Events: []string{"CLICK"}}, &text, &click, &own)
	f(relay.TargetOptions{MsgTypes: []string{"event"}, Events: []string{"CLICK"}}, &click)
	f(relay.TargetOptions{InfoTypes: []string{"authorized"}, MsgTypes: []string{"text"}}, &authorized, &text, &own)
	f(relay.TargetOptions{AppIDs: []string{"wxa"}}, &authorized, &text, &click)
	f(relay.TargetOptions{Components: []string{"wxc"}}, &authorized, &noAccount, &text, &click)
	f(relay.TargetOptions{Components: []string{"wxd"}, AppIDs: []string{"wxb"}, MsgTypes: []string{"text"}})
}
