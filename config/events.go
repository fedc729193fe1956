package config

import (
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

func (l *Loaded) validateEvents() {
	for i := range l.Config.Events {
		at, e := indexed("events", i), &l.Config.Events[i]
		l.targetURL(at+".url", e.URL)
		l.appIDs(at+".appids", e.AppIDs)
		for n, appID := range e.Components {
			l.configured(indexed(at+".components", n), appID)
		}
		l.oneOf(at+".format", e.Format, relay.XML, relay.JSON)
		l.targetSecret(at+".secret", e.Secret)
	}
}

// targetURL checks where events are sent.
func (l *Loaded) targetURL(key, text string) {
	const hint = "write it like http://127.0.0.1:3000/wx, or unix:///run/app.sock:/wx"
	if text == "" {
		if !l.faulty(strings.TrimSuffix(key, ".url")) {
			l.fault(key, "", "missing", "where the events are to be sent")
		}
		return
	}
	reason := ""
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		_, reason = parseWebURL(text)
	}
	if _, err := relay.NewTarget(relay.TargetOptions{URL: text}); reason == "" && err != nil {
		reason = strings.TrimPrefix(err.Error(), "url: ")
	}
	if reason != "" {
		l.fault(key, shownURL(text), reason, hint)
	}
}

// targetSecret checks what deliveries are signed with, and does not show it.
func (l *Loaded) targetSecret(key string, s secret.Text) {
	if _, err := relay.NewTarget(relay.TargetOptions{URL: "http://localhost", Secret: s}); err != nil {
		l.fault(key, "", strings.TrimPrefix(err.Error(), "secret: "), "write whsec_ and a key in base64, or any other text as the key itself")
	}
}
