package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
)

// startWithComponent starts a sidecar with a component, whose pushes and messages reach it.
// Its log may be read once it has stopped.
func startWithComponent(t *testing.T, sim *wechattest.Server, change func(*config.Config)) *bytes.Buffer {
	t.Helper()
	c := accountConfig(t, sim)
	c.Listen.Push, c.Listen.Apps, c.Accounts = "127.0.0.1:0", config.Off, nil
	c.Components = []config.Component{{
		AppID: scriptComponent, Secret: secret.New(scriptAppSecret),
		PushToken: secret.New(scriptPushToken), EncodingAESKey: secret.New(scriptAESKey),
	}}
	change(&c)
	log := &bytes.Buffer{}
	s, err := newSidecar(t.Context(), c, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		if err := s.stop(config.Shutdown{Grace: time.Minute}); err != nil {
			t.Error(err)
		}
	})
	url := "http://" + addressOf(t, s, "listen.push") + "/wechat/" + scriptComponent
	sim.AddComponent(wechattest.Component{
		AppID: scriptComponent, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey,
		PushURL: url + "/event", MessageURL: url + "/message/$APPID$",
	})
	return log
}

// WeChat's own check passes with no app behind the sidecar, with each pair of accounts, and shows
// no secret to the log.
func TestServe_ReleaseCheck(t *testing.T) {
	t.Parallel()
	sim := wechattest.New(wechattest.Options{})
	t.Cleanup(sim.Close)
	sim.AddComponent(wechattest.Component{AppID: scriptComponent, Secret: scriptAppSecret})
	var log *bytes.Buffer
	t.Run("check", func(t *testing.T) {
		log = startWithComponent(t, sim, func(*config.Config) {})
		for pair := range wechattest.ReleasePairs() {
			for _, asJSON := range []bool{false, true} {
				steps, err := sim.CheckRelease(t.Context(), wechattest.ReleaseCheck{Component: scriptComponent, Pair: pair, JSON: asJSON})
				if err != nil || len(steps) != 6 {
					t.Errorf("pair %d, JSON %v: %+v, %v", pair, asJSON, steps, err)
				}
			}
		}
	})
	for _, s := range sim.Secrets() {
		if strings.Contains(log.String(), s) {
			t.Errorf("the log shows the secret %q", s)
		}
	}
	if v := sim.Violations(); len(v) > 0 {
		t.Errorf("violations %q", v)
	}
}

// With the check switched off the app answers it.
func TestServe_ReleaseCheckOff(t *testing.T) {
	t.Parallel()
	sim := wechattest.New(wechattest.Options{})
	t.Cleanup(sim.Close)
	sim.AddComponent(wechattest.Component{AppID: scriptComponent, Secret: scriptAppSecret})
	const official = "wx570bc396a51b8ff8"
	url := echoApp(t, "app")
	startWithComponent(t, sim, func(c *config.Config) {
		c.Push.ReleaseCheck = false
		c.Events = []config.Event{{URL: url}}
	})
	_, err := sim.PushMessage(t.Context(), scriptComponent, official, wechattest.Message{Content: "TESTCOMPONENT_MSG_TYPE_TEXT"})
	if want := fmt.Sprintf("reply from %q", ""); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want the reply of the app, which has no addresses", err)
	}
}
