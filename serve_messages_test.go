package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/push"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

// echoApp answers each message with its own name and the headers that it got.
func echoApp(t *testing.T, name string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		h := req.Header
		fmt.Fprintf(w, "<xml><Content><![CDATA[%s %s %s %s %s %d]]></Content></xml>", name,
			h.Get("X-Wechat-Appid"), h.Get("X-Wechat-Component"), h.Get("X-Wechat-Msg-Type"), h.Get("X-Wechat-Event"), len(body))
		if h.Get("Webhook-Id") == "" || h.Get("Webhook-Id") != h.Get("X-Request-Id") {
			t.Errorf("%s got %v", name, h)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func newMessageRelay(t *testing.T, events ...config.Event) *messageRelay {
	t.Helper()
	targets, err := relayTargets(events)
	if err != nil {
		t.Fatal(err)
	}
	r := &messageRelay{client: relay.New(relay.Options{})}
	t.Cleanup(r.client.Close)
	r.setTargets(targets)
	return r
}

func TestMessageRelay_FirstTargetThatWants(t *testing.T) {
	r := newMessageRelay(t,
		config.Event{URL: echoApp(t, "events"), InfoTypes: []string{"authorized"}},
		config.Event{URL: echoApp(t, "images"), MsgTypes: []string{"image"}},
		config.Event{URL: echoApp(t, "one"), MsgTypes: []string{"text", "event"}, AppIDs: []string{scriptAuthorizer}},
		config.Event{URL: echoApp(t, "two"), MsgTypes: []string{"text"}},
	)
	f := func(m wechat.Message, want string) {
		t.Helper()
		m.ID, m.Document = "1", []byte("<xml/>")
		got, err := r.HandleMessage(t.Context(), &m)
		if err != nil || string(got) != "<xml><Content><![CDATA["+want+" 6]]></Content></xml>" {
			t.Errorf("%+v: %s, %v; want %s", m, got, err, want)
		}
	}
	f(wechat.Message{AppID: scriptAuthorizer, Component: scriptComponent, MsgType: "text"}, "one "+scriptAuthorizer+" "+scriptComponent+" text ")
	f(wechat.Message{AppID: scriptAuthorizer, MsgType: "event", Event: "CLICK"}, "one "+scriptAuthorizer+"  event CLICK")
	f(wechat.Message{AppID: scriptAccount, MsgType: "text"}, "two "+scriptAccount+"  text ")
	_, err := r.HandleMessage(t.Context(), &wechat.Message{ID: "1", AppID: scriptAccount, MsgType: "voice", Document: []byte("<xml/>")})
	if !errors.Is(err, push.ErrNoTarget) {
		t.Errorf("a message that nobody wants: %v", err)
	}
	if _, err := relayTargets([]config.Event{{URL: "http://a"}, {URL: "x:"}}); err == nil || !strings.HasPrefix(err.Error(), "events[1].url: ") {
		t.Errorf("relayTargets: %v", err)
	}
}

// A target that hangs holds as many messages as it may, and none of another's.
func TestMessageRelay_HangingTarget(t *testing.T) {
	var arrived sync.WaitGroup
	arrived.Add(maxPerTarget)
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		<-release
	}))
	t.Cleanup(hanging.Close)
	r := newMessageRelay(t, config.Event{URL: hanging.URL, MsgTypes: []string{"text"}}, config.Event{URL: echoApp(t, "other")})
	text := &wechat.Message{ID: "1", MsgType: "text", Document: []byte("<xml/>")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	var waiting sync.WaitGroup
	for range maxPerTarget {
		waiting.Go(func() {
			if _, err := r.HandleMessage(ctx, text); !errors.Is(err, context.Canceled) {
				t.Errorf("a message to a target that hangs: %v", err)
			}
		})
	}
	arrived.Wait()
	if _, err := r.HandleMessage(ctx, text); !errors.Is(err, errTargetBusy) {
		t.Errorf("one message more: %v", err)
	}
	if _, err := r.HandleMessage(ctx, &wechat.Message{ID: "2", MsgType: "image", Document: []byte("<xml/>")}); err != nil {
		t.Errorf("a message to another target: %v", err)
	}
	cancel()
	waiting.Wait()
	close(release)
}

// The whole way: WeChat's push, the app's reply, and the reply as WeChat reads it; a reload
// brings another target and another key.
func TestServe_Messages(t *testing.T) {
	t.Parallel()
	sim := wechattest.New(wechattest.Options{})
	t.Cleanup(sim.Close)
	sim.AddAccount(scriptAccount, scriptAppSecret)
	c := accountConfig(t, sim)
	c.Listen.Push = "127.0.0.1:0"
	c.Accounts[0].PushToken, c.Accounts[0].EncodingAESKey = secret.New(scriptPushToken), secret.New(scriptAESKey)
	c.Events = []config.Event{{URL: echoApp(t, "one")}}
	s, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	defer func() {
		if err := s.stop(config.Shutdown{Grace: time.Minute}); err != nil {
			t.Error(err)
		}
	}()
	at := addressOf(t, s, "listen.push")
	f := func(msgID int, key, want string) {
		t.Helper()
		document := "<xml><MsgType>text</MsgType><MsgId>" + strconv.Itoa(msgID) + "</MsgId></xml>"
		if got := pushMessage(t, at, key, document); got != want {
			t.Errorf("reply %s; want %s", got, want)
		}
	}
	reply := func(name string) string {
		return "<xml><Content><![CDATA[" + name + " " + scriptAccount + "  text  50]]></Content></xml>"
	}
	f(1, scriptAESKey, reply("one"))
	changed := c
	changed.Accounts = []config.Account{c.Accounts[0]}
	otherKey := strings.Repeat("B", 43)
	changed.Accounts[0].EncodingAESKey = secret.New(otherKey)
	changed.Events = []config.Event{{URL: echoApp(t, "two")}}
	if err := s.configure(&changed); err != nil {
		t.Fatal(err)
	}
	f(2, otherKey, reply("two"))
}

// pushMessage pushes document to an own account's URL as WeChat does, and returns the reply.
func pushMessage(t *testing.T, address, key, document string) string {
	t.Helper()
	codec, err := msgcrypt.New(scriptPushToken, key, scriptAccount)
	if err != nil {
		t.Fatal(err)
	}
	e, err := codec.Seal([]byte(document), strconv.FormatInt(time.Now().Unix(), 10), "1")
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{"timestamp": {e.TimeStamp}, "nonce": {e.Nonce}, "encrypt_type": {"aes"}, "msg_signature": {e.MsgSignature}}
	resp, err := http.Post("http://"+address+"/wechat/"+scriptAccount+"/message?"+query.Encode(), "text/xml", strings.NewReader(string(e.MessageXML("gh_1"))))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	encrypt, err := msgcrypt.ParseEnvelope(body)
	if err != nil {
		t.Fatalf("%s %s: %v", resp.Status, body, err)
	}
	field := func(name string) string {
		_, rest, _ := strings.Cut(string(body), "<"+name+">")
		value, _, _ := strings.Cut(rest, "</"+name+">")
		return strings.TrimSuffix(strings.TrimPrefix(value, "<![CDATA["), "]]>")
	}
	plain, err := codec.Open(field("MsgSignature"), field("TimeStamp"), field("Nonce"), encrypt)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
