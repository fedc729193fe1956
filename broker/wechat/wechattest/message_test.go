package wechattest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const user = "oUser0000000000000000000000001"

// app is who messages are sent to: it notes what came, and answers the next of answers, or
// success.
type app struct {
	urls    []*url.URL
	bodies  []string
	answers []func(*http.Request) (int, string)
}

func (a *app) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	a.urls, a.bodies = append(a.urls, req.URL), append(a.bodies, string(body))
	status, answer := http.StatusOK, "success"
	if len(a.answers) > 0 {
		status, answer = a.answers[0](req)
		a.answers = a.answers[1:]
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func says(body string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) { return http.StatusOK, body }
}

// late answers when WeChat has given up.
func late(req *http.Request) (int, string) {
	<-req.Context().Done()
	return http.StatusOK, ""
}

func broken(*http.Request) (int, string) { return http.StatusInternalServerError, "" }

func textReply(to, from, content string) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName>"+
		"<CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s]]></Content></xml>", to, from, content)
}

func sealedReply(t *testing.T, appID, plain string) string {
	t.Helper()
	codec, err := msgcrypt.New("push-token-1", aesKey, appID)
	if err != nil {
		t.Fatal(err)
	}
	e, err := codec.Seal([]byte(plain), "1700000000", "n")
	if err != nil {
		t.Fatal(err)
	}
	return string(e.ReplyXML())
}

func TestPushMessage(t *testing.T) {
	f := func(name string, m wechattest.Message, wantTries int, lastTry time.Duration, wantContent, wantErr string, answers ...func(*http.Request) (int, string)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			a := &app{answers: answers}
			w := newWorld(t, wechattest.Options{Pusher: a})
			start := time.Now()
			reply, err := w.PushMessage(t.Context(), platform, merchant, m)
			if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
				t.Errorf("%s: error %v, want %q", name, err, wantErr)
			}
			if reply.Content != wantContent || len(a.urls) != wantTries {
				t.Errorf("%s: content %q after %d tries", name, reply.Content, len(a.urls))
			}
			if got := w.Pushes(); len(got) != 1 || got[0].AppID != merchant || got[0].MsgType == "" || got[0].Tries != wantTries {
				t.Errorf("%s: records %+v", name, got)
			}
			// One that is late is sent again as soon as WeChat has given it up.
			if took := time.Since(start); took != time.Duration(wantTries-1)*5*time.Second+lastTry {
				t.Errorf("%s: took %v", name, took)
			}
		})
	}
	text := wechattest.Message{FromUserName: user, Content: "hi"}
	good := says(sealedReply(t, platform, textReply(user, "gh_0000000000a1", "hello")))
	f("success", text, 1, 0, "", "")
	f("empty", text, 1, 0, "", "", says(""))
	f("reply", text, 1, 0, "hello", "", good)
	f("reply to an event", wechattest.Message{FromUserName: user, Event: "LOCATION"}, 1, 0, "hello", "", good)
	f("late, then a reply", text, 2, 0, "hello", "", late, good)
	f("late", text, 3, 5*time.Second, "", "deadline", late, late, late)
	f("500, 500, reply", text, 3, 0, "hello", "", broken, broken, good)
	f("plain reply", text, 1, 0, "", "msg_signature", says(textReply(user, "gh_0000000000a1", "hello")))
	f("reply under another key", text, 1, 0, "", "appid", says(sealedReply(t, other, textReply(user, "gh_0000000000a1", "hello"))))
	f("reply to another user", text, 1, 0, "", "not from the account", says(sealedReply(t, platform, textReply("oOther", "gh_0000000000a1", "hello"))))
	f("no document", text, 1, 0, "", "read the reply", says("Success"))
}

// Each try carries the same message, and another nonce.
func TestPushMessage_Repeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{answers: []func(*http.Request) (int, string){late, late}}
		w := newWorld(t, wechattest.Options{Pusher: a})
		if _, err := w.PushMessage(t.Context(), platform, merchant, wechattest.Message{Content: "hi"}); err != nil {
			t.Fatal(err)
		}
		var first string
		for i, body := range a.bodies {
			q := a.urls[i].Query()
			plain, err := openPush(a.urls[i], []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = string(plain)
			}
			if string(plain) != first || !strings.Contains(first, "<MsgId>") || !strings.Contains(first, q.Get("openid")) {
				t.Errorf("try %d is %s, the first %s", i+1, plain, first)
			}
			if i > 0 && q.Get("nonce") == a.urls[i-1].Query().Get("nonce") {
				t.Errorf("try %d has the nonce of the one before", i+1)
			}
		}
		if len(a.bodies) != 3 || a.urls[0].Path != "/wechat/"+platform+"/message/"+merchant {
			t.Errorf("%d tries to %s", len(a.bodies), a.urls[0].Path)
		}
	})
}

func TestPushMessage_OwnAccount(t *testing.T) {
	f := func(name string, settings wechattest.MessageSettings, asJSON bool, answer string, parts ...string) {
		t.Helper()
		a := &app{answers: []func(*http.Request) (int, string){says(answer)}}
		w := newWorld(t, wechattest.Options{Pusher: a})
		settings.URL, settings.Token = "http://sidecar.test/wechat/"+own+"/message", "push-token-1"
		w.SetMessages(own, settings)
		reply, err := w.PushMessage(context.Background(), "", own, wechattest.Message{FromUserName: user, Content: "hi", JSON: asJSON})
		if err != nil || reply.Content != "hello" {
			t.Errorf("%s: reply %q, %v", name, reply.Content, err)
		}
		for _, part := range parts {
			part, absent := strings.CutPrefix(part, "!")
			if strings.Contains(a.bodies[0]+a.urls[0].RawQuery, part) == absent {
				t.Errorf("%s: %q in %s?%s: %v", name, part, a.bodies[0], a.urls[0].RawQuery, !absent)
			}
		}
	}
	plain := textReply(user, "gh_0000000000aa", "hello")
	f("plain", wechattest.MessageSettings{}, false, plain, "<Content>", "signature=", "openid="+user, "!msg_signature", "!Encrypt")
	f("plain JSON", wechattest.MessageSettings{}, true,
		`{"ToUserName":"`+user+`","FromUserName":"gh_0000000000aa","CreateTime":1,"MsgType":"text","Content":"hello"}`, `"Content":"hi"`)
	f("encrypted", wechattest.MessageSettings{EncodingAESKey: aesKey}, false, sealedReply(t, own, plain), "<Encrypt>", "msg_signature", "!<Content>")
	f("compatible", wechattest.MessageSettings{EncodingAESKey: aesKey, Compatible: true}, false, sealedReply(t, own, plain), "<Encrypt>", "<Content>")
}

func TestCheckMessageURL(t *testing.T) {
	f := func(name string, wantErr bool, answer func(*http.Request) (int, string)) {
		t.Helper()
		w := newWorld(t, wechattest.Options{Pusher: &app{answers: []func(*http.Request) (int, string){answer}}})
		w.SetMessages(own, wechattest.MessageSettings{URL: "http://sidecar.test/", Token: "push-token-1"})
		if err := w.CheckMessageURL(context.Background(), own); (err != nil) != wantErr {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("echo", false, func(r *http.Request) (int, string) {
		q := r.URL.Query()
		if r.Method != http.MethodGet || q.Get("signature") != msgcrypt.Signature("push-token-1", q.Get("timestamp"), q.Get("nonce"), "") {
			return http.StatusForbidden, ""
		}
		return http.StatusOK, q.Get("echostr")
	})
	f("another text", true, says("success"))
	f("status", true, broken)
}
