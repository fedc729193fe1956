package push_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

const (
	account      = "wx00000000000000aa"
	plainAccount = "wx00000000000000bb"
	messagePath  = "/wechat/" + component + "/message/" + merchant
	accountPath  = "/wechat/" + account + "/message"
	plainPath    = "/wechat/" + plainAccount + "/message"
	textReply    = "<xml><ToUserName>oUser</ToUserName><MsgType>text</MsgType><Content><![CDATA[s3cr3t reply]]></Content></xml>"
)

// app is the far side of the server for messages.
type app struct {
	mu     sync.Mutex
	got    []wechat.Message
	answer func(context.Context, *wechat.Message) ([]byte, error)
}

func (a *app) HandleMessage(ctx context.Context, m *wechat.Message) ([]byte, error) {
	a.mu.Lock()
	a.got = append(a.got, *m)
	answer := a.answer
	a.mu.Unlock()
	return answer(ctx, m)
}

func (a *app) messages() []wechat.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]wechat.Message(nil), a.got...)
}

// set makes the app answer like this.
func (a *app) set(reply string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = func(context.Context, *wechat.Message) ([]byte, error) { return []byte(reply), err }
}

// newMessageRig returns a rig with a component, an own account with a key and one without,
// and an app that answers all messages.
func newMessageRig(t *testing.T, change ...func(*push.Options)) (*rig, *app) {
	t.Helper()
	a := &app{}
	a.set(textReply, nil)
	r := newRig(t, append([]func(*push.Options){func(o *push.Options) {
		o.Messages = a
		o.Accounts = []push.Account{
			{AppID: account, Key: push.Key{Token: secret.New(token), EncodingAESKey: secret.New(aesKey)}},
			{AppID: plainAccount, Key: push.Key{Token: secret.New(token)}},
		}
	}}, change...)...)
	return r, a
}

// textXML is a user's text; n makes its MsgId.
func textXML(n int) string {
	return "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName><FromUserName><![CDATA[oUser-s3cr3t]]></FromUserName>" +
		"<CreateTime>1800000000</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[s3cr3t & <b>]]></Content><MsgId>" +
		strconv.Itoa(n) + "</MsgId></xml>"
}

const clickXML = "<xml><FromUserName>oUser</FromUserName><CreateTime>1800000000</CreateTime><MsgType>event</MsgType><Event>CLICK</Event><EventKey>s3cr3t</EventKey></xml>"

// message is plain as WeChat would push it to path; appID is the one in its frame.
func message(t *testing.T, path, appID, plain string) call {
	t.Helper()
	c := sealed(t, token, aesKey, appID, plain, start)
	c.path = path
	return c
}

// plainMessage is plain as WeChat would push it in plain mode.
func plainMessage(plain string) call {
	stamp := strconv.FormatInt(start.Unix(), 10)
	return call{path: plainPath, body: plain, query: url.Values{
		"signature": {msgcrypt.Signature(token, stamp, "1", "")}, "timestamp": {stamp}, "nonce": {"1"}, "openid": {"oUser-s3cr3t"},
	}}
}

// wantReply sends a message and wants the reply, sealed by the key for appID.
func (r *rig) wantReply(c call, key, appID, want string) {
	r.t.Helper()
	status, header, body := r.do(c)
	if status != http.StatusOK || header.Get("Content-Type") != "text/xml; charset=utf-8" {
		r.t.Fatalf("answer %d %q of type %q\n%s", status, body, header.Get("Content-Type"), r.log)
	}
	if got := r.unsealed(body, key, appID); got != want {
		r.t.Errorf("reply %s; want %s", got, want)
	}
}

func (r *rig) unsealed(body, key, appID string) string {
	r.t.Helper()
	encrypt, err := msgcrypt.ParseEnvelope([]byte(body))
	if err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	codec, err := msgcrypt.New(token, key, appID)
	if err != nil {
		r.t.Fatal(err)
	}
	field := func(name string) string {
		_, rest, _ := strings.Cut(body, "<"+name+">")
		value, _, _ := strings.Cut(rest, "</"+name+">")
		return strings.TrimSuffix(strings.TrimPrefix(value, "<![CDATA["), "]]>")
	}
	if stamp := field("TimeStamp"); stamp != strconv.FormatInt(start.Unix(), 10) {
		r.t.Errorf("TimeStamp %q", stamp)
	}
	plain, err := codec.Open(field("MsgSignature"), field("TimeStamp"), field("Nonce"), encrypt)
	if err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	return string(plain)
}

// wantMessages wants a value of wxsidecar_messages_total.
func (r *rig) wantMessages(msgType, result string, want int) {
	r.t.Helper()
	r.wantSeries("wxsidecar_messages_total{msg_type=%q,result=%q} %d\n", msgType, result, want)
}
