package releasecheck_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
	"github.com/wxsidecar/wxsidecar/proxy/releasecheck"
)

const (
	component = "wx7f00c0de00000001"
	tester    = "wx570bc396a51b8ff8"
	code      = "queryauthcode@@@s3cr3t"
)

// world is the far side of a check: a broker, a sender, and the handler behind it.
type world struct {
	faults map[string]error // by what fails
	calls  []string
	sent   []string
	next   int
}

func (w *world) QueryAuth(_ context.Context, component string, code secret.Text) ([]byte, error) {
	w.calls = append(w.calls, "exchange "+code.Reveal()+" of "+component)
	return nil, w.faults["exchange"]
}

func (w *world) Token(_ context.Context, key broker.Key) (*broker.Token, error) {
	w.calls = append(w.calls, "token "+key.String())
	return broker.NewToken(key, secret.New("s3cr3t-token"), 1, w.Now(), w.Now().Add(time.Hour)), w.faults["token"]
}

func (w *world) SendText(_ context.Context, token secret.Text, user, content string) error {
	w.sent = append(w.sent, token.Reveal()+" "+user+" "+content)
	return w.faults["send"]
}

func (w *world) Now() time.Time { return time.Unix(1_800_000_000, 0) }

func (w *world) HandleMessage(context.Context, *wechat.Message) ([]byte, error) {
	w.next++
	return []byte("next"), nil
}

func message(t *testing.T, component, appID, fields string) *wechat.Message {
	t.Helper()
	m, err := wechat.ParseMessage(component, appID, []byte(fields))
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

func xmlOf(fields string) string {
	return "<xml><ToUserName>gh_3c884a361561</ToUserName><FromUserName>oTester</FromUserName><CreateTime>1</CreateTime>" + fields + "</xml>"
}

func textOf(content string) string {
	return xmlOf("<MsgType>text</MsgType><Content><![CDATA[" + content + "]]></Content><MsgId>1</MsgId>")
}

func TestHandleMessage(t *testing.T) {
	f := func(component, appID, document, want string, wantErr error) {
		t.Helper()
		w := &world{}
		h := releasecheck.New(releasecheck.Options{Broker: w, Sender: w}).Before(w)
		got, err := h.HandleMessage(t.Context(), message(t, component, appID, document))
		if string(got) != want || !errors.Is(err, wantErr) || (w.next > 0) != (want == "next") {
			t.Errorf("%s %s: %s, %v after %d calls of next; want %s, %v", appID, document, got, err, w.next, want, wantErr)
		}
	}
	reply := func(content string) string {
		return `{"ToUserName":"oTester","FromUserName":"gh_3c884a361561","CreateTime":1800000000,"MsgType":"text","Content":"` + content + `"}`
	}
	const event = "<MsgType>event</MsgType><Event>LOCATION</Event>"
	f(component, tester, textOf("TESTCOMPONENT_MSG_TYPE_TEXT"), reply("TESTCOMPONENT_MSG_TYPE_TEXT_callback"), nil)
	f(component, tester, `{"ToUserName":"gh_3c884a361561","FromUserName":"oTester","MsgType":"text","Content":"TESTCOMPONENT_MSG_TYPE_TEXT"}`,
		reply("TESTCOMPONENT_MSG_TYPE_TEXT_callback"), nil)
	f(component, tester, xmlOf(event), reply("LOCATIONfrom_callback"), nil)
	f(component, tester, textOf("QUERY_AUTH_CODE:"+code), "", push.ErrEmptyReply)
	f(component, tester, textOf("hello"), "next", nil)
	f(component, tester, textOf("TESTCOMPONENT_MSG_TYPE_TEXT "+code), "next", nil)
	f(component, tester, xmlOf("<MsgType>image</MsgType>"), "next", nil)
	// A merchant's customer may write anything, and an own account has no release check.
	f(component, "wxa000000000000001", textOf("TESTCOMPONENT_MSG_TYPE_TEXT"), "next", nil)
	f(component, "wxa000000000000001", textOf("QUERY_AUTH_CODE:"+code), "next", nil)
	f(component, "wxa000000000000001", xmlOf(event), "next", nil)
	f("", tester, textOf("TESTCOMPONENT_MSG_TYPE_TEXT"), "next", nil)
}

func TestRun(t *testing.T) {
	f := func(fails, wantSent, wantLog string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			w := &world{faults: map[string]error{}}
			if fails != "" {
				w.faults[fails] = errors.New(fails + " failed")
			}
			c := releasecheck.New(releasecheck.Options{Broker: w, Sender: w, Log: slog.New(slog.NewTextHandler(&log, nil))})
			ctx, cancel := context.WithCancel(t.Context())
			go c.Run(ctx)
			if _, err := c.Before(w).HandleMessage(ctx, message(t, component, tester, textOf("QUERY_AUTH_CODE:"+code))); !errors.Is(err, push.ErrEmptyReply) {
				t.Fatal(err)
			}
			synctest.Wait()
			cancel()
			synctest.Wait()
			if got := strings.Join(w.sent, ","); got != wantSent || !strings.Contains(log.String(), wantLog) || strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("%q fails: sent %q, calls %q\n%s", fails, got, w.calls, &log)
			}
			if w.calls[0] != "exchange "+code+" of "+component || len(w.calls) > 1 && w.calls[1] != "token authorizer/"+tester+"/"+component {
				t.Errorf("calls %q", w.calls)
			}
		})
	}
	const sent = "s3cr3t-token oTester " + code + "_from_api"
	f("", sent, "customer message sent")
	f("exchange", "", "exchange failed")
	f("token", "", "token failed")
	f("send", sent, "send failed")
}

// Codes that nobody exchanges are refused, and cost no more memory.
func TestHandleMessage_Bound(t *testing.T) {
	w := &world{}
	h := releasecheck.New(releasecheck.Options{Broker: w, Sender: w}).Before(w)
	refused := 0
	for range 20 {
		if _, err := h.HandleMessage(t.Context(), message(t, component, tester, textOf("QUERY_AUTH_CODE:"+code))); !errors.Is(err, push.ErrEmptyReply) {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d of 20 codes are refused; want those beyond 16", refused)
	}
}
