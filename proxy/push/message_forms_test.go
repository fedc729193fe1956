package push_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func TestMessage_OwnAccount(t *testing.T) {
	r, a := newMessageRig(t)
	r.wantReply(message(t, accountPath, account, textXML(1)), aesKey, account, textReply)
	r.wantReply(mixedMessage(t, 2), aesKey, account, textReply)
	status, header, body := r.do(plainMessage(textXML(4)))
	if status != http.StatusOK || body != textReply || header.Get("Content-Type") != "text/xml; charset=utf-8" {
		t.Errorf("answer %d %q", status, body)
	}
	got := a.messages()
	if len(got) != 3 || got[0].AppID != account || got[0].Component != "" || got[1].MsgID != "2" || got[2].AppID != plainAccount {
		t.Errorf("the app got %+v", got)
	}
}

// mixedMessage is a text in compatible mode. What stands beside Encrypt says something else.
func mixedMessage(t *testing.T, n int) call {
	t.Helper()
	c := message(t, accountPath, account, textXML(n))
	c.body = strings.Replace(c.body, "<xml>", strings.TrimSuffix(textXML(n+1000), "</xml>")+"<Url>http://x/?a=1&amp;b</Url>", 1)
	return c
}

// Mini programs may be pushed to in JSON, and want JSON.
func TestMessage_JSON(t *testing.T) {
	const document, reply = `{"ToUserName":"gh_1","FromUserName":"oUser","CreateTime":1800000000,"MsgType":"text","Content":"s3cr3t","MsgId":9}`, `{"MsgType":"text"}`
	r, a := newMessageRig(t)
	a.set(reply, nil)
	status, header, body := r.do(plainMessage(document))
	if status != http.StatusOK || body != reply || header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("answer %d %q", status, body)
	}
	_, _, body = r.do(message(t, accountPath, account, document))
	if !strings.HasPrefix(body, `{"Encrypt":"`) {
		t.Fatalf("answer %q", body)
	}
	encrypt, err := msgcrypt.ParseEnvelope([]byte(`{"Encrypt":"` + strings.Split(body, `"`)[3] + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	codec, err := msgcrypt.New(token, aesKey, account)
	if err != nil {
		t.Fatal(err)
	}
	signature := strings.Split(body, `"`)[7]
	if plain, err := codec.Open(signature, strconv.FormatInt(start.Unix(), 10), "1590219412", encrypt); err != nil || string(plain) != reply {
		t.Errorf("reply %s, %v", plain, err)
	}
	a.set(textReply, nil)
	r.wantSuccess(plainMessage(strings.Replace(document, "9", "10", 1)))
	r.wantMessages("text", "bad_reply", 1)
}

// An app may answer in JSON what came in XML.
func TestMessage_JSONReplyToXML(t *testing.T) {
	r, a := newMessageRig(t)
	a.set(`{"ToUserName":"oUser","CreateTime":1800000000,"MsgType":"news","ArticleCount":2,"Articles":[{"Title":"a]]>b"},{"Url":"http://x/?a&b"}]}`, nil)
	r.wantReply(message(t, messagePath, component, textXML(1)), aesKey, component,
		"<xml><ToUserName><![CDATA[oUser]]></ToUserName><CreateTime>1800000000</CreateTime><MsgType><![CDATA[news]]></MsgType><ArticleCount>2</ArticleCount>"+
			"<Articles><item><Title><![CDATA[a]]]]><![CDATA[>b]]></Title></item><item><Url><![CDATA[http://x/?a&b]]></Url></item></Articles></xml>")
}

// WeChat's release check wants an empty string, to a copy too.
func TestMessage_EmptyReply(t *testing.T) {
	r, a := newMessageRig(t)
	a.set("", push.ErrEmptyReply)
	for range 2 {
		if status, _, body := r.do(message(t, messagePath, component, textXML(1))); status != http.StatusOK || body != "" {
			t.Errorf("answer %d %q", status, body)
		}
	}
	if got := a.messages(); len(got) != 1 {
		t.Errorf("the app got %d messages", len(got))
	}
	r.wantMessages("text", "replied", 1)
	r.wantMessages("text", "repeated", 1)
}

func TestMessage_Refused(t *testing.T) {
	good, own, plain := message(t, messagePath, component, textXML(1)), message(t, accountPath, account, textXML(1)), plainMessage(textXML(1))
	at := func(c call, path string) call { c.path = path; return c }
	unsigned := changed(own, "msg_signature", "")
	tests := []struct {
		name, cause string
		call        call
		logged      string
	}{
		{"forged", "forged", changed(good, "nonce", "2"), "push_token"},
		{"of another component", "foreign_appid", message(t, messagePath, merchant, textXML(1)), ""},
		{"an event", "unreadable", message(t, messagePath, component, ticketXML(component)), "/wechat/<component appid>/event"},
		{"of an unknown component", "unknown_component", at(good, "/wechat/wx7f00c0de00000009/message/"+merchant), ""},
		{"for no account", "unknown_path", at(good, "/wechat/"+component+"/message"), "/message/$APPID$"},
		{"for a literal", "unknown_path", at(good, "/wechat/"+component+"/message/$APPID$"), ""},
		{"for a short appid", "unknown_path", at(good, messagePath[:len(messagePath)-1]), ""},
		{"more path", "unknown_path", at(good, messagePath+"/"), ""},
		{"an event's path and an appid", "unknown_path", at(good, "/wechat/"+component+"/event/"+merchant), ""},
		{"an account's, to an event URL", "unknown_path", at(own, "/wechat/"+account+"/event"), ""},
		{"an account's, with an appid", "unknown_path", at(own, accountPath+"/"+account), ""},
		{"to an account without a token", "unknown_path", at(plain, "/wechat/wx00000000000000cc/message"), "push_token"},
		{"forged, to an account", "forged", changed(own, "nonce", "2"), ""},
		{"for another account", "foreign_appid", message(t, accountPath, component, textXML(1)), ""},
		{"plain, to an account with a key", "parameters", unsigned, "安全模式"},
		{"plain under msg_signature", "envelope", at(call{query: own.query, body: textXML(1)}, accountPath), ""},
		{"forged, in plain mode", "forged", changed(plain, "nonce", "2"), "push_token"},
		{"unsigned, in plain mode", "parameters", changed(plain, "signature", ""), ""},
		{"two signatures, in plain mode", "parameters", twice(plain, "signature"), ""},
		{"compatible mode, unsigned parameters", "envelope", changed(mixedMessage(t, 1), "signature", ""), ""},
		{"encrypted, in plain mode", "unreadable", at(own, plainPath), "encoding_aes_key"},
		{"old, in plain mode", "outside_window", oldPlain(), "clock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, a := newMessageRig(t)
			r.wantStatus(tt.call, http.StatusForbidden)
			r.wantCounted("none", tt.cause, 1)
			r.wantLogged("level=WARN", "push refused", "cause="+tt.cause, tt.logged)
			if got := a.messages(); len(got) != 0 {
				t.Errorf("the app got %+v", got)
			}
			// A message says nothing of why no ticket comes.
			if told := r.handler.refused; tt.cause != "unknown_path" && len(told) != 0 {
				t.Errorf("the handler was told %q", told)
			}
			r.wantReply(good, aesKey, component, textReply)
		})
	}
}

func oldPlain() call {
	stamp := strconv.FormatInt(start.Unix()-601, 10)
	c := plainMessage(textXML(1))
	c.query.Set("timestamp", stamp)
	c.query.Set("signature", msgcrypt.Signature(token, stamp, "1", ""))
	return c
}

// What is not signed is refused before its body, and so is a body where none belongs.
func TestMessage_RefusedBeforeTheBody(t *testing.T) {
	r, _ := newMessageRig(t)
	f := func(name string, c call, length string) {
		t.Helper()
		if answer := r.exchange(raw(c, "Content-Length: "+length, "Expect: 100-continue"), false); answer != oneRefusal {
			t.Errorf("%s: answer %q", name, answer)
		}
	}
	f("forged, in plain mode", changed(plainMessage(""), "nonce", "2"), "600")
	f("too large", message(t, messagePath, component, ""), "1048577")
	f("a check with a body", urlCheck(plainPath, "echo"), "600")
	f("unknown component", call{path: "/wechat/wx7f00c0de00000009/message/" + merchant, query: plainMessage("").query}, "600")
}

func urlCheck(path, echo string) call {
	c := plainMessage("")
	c.method, c.path = http.MethodGet, path
	c.query.Set("echostr", echo)
	return c
}

func TestURLCheck(t *testing.T) {
	r, a := newMessageRig(t)
	for _, path := range []string{plainPath, accountPath} {
		status, header, body := r.do(urlCheck(path, "4375120948345356249"))
		if status != http.StatusOK || body != "4375120948345356249" || header.Get("Content-Type") != "text/plain" {
			t.Errorf("answer %d %q", status, body)
		}
	}
	r.wantMessages("echostr", "replied", 2)
	for name, c := range map[string]call{
		"forged":             changed(urlCheck(plainPath, "1"), "nonce", "2"),
		"forged, with a key": changed(urlCheck(accountPath, "1"), "nonce", "2"),
		"no echostr":         urlCheck(plainPath, ""),
		"markup":             urlCheck(plainPath, "<script>alert(1)</script>"),
		"long":               urlCheck(plainPath, strings.Repeat("1", 257)),
		"two":                twice(urlCheck(plainPath, "1"), "echostr"),
		"of a component":     urlCheck(messagePath, "1"),
		"another method":     {method: http.MethodPut, path: plainPath, query: urlCheck(plainPath, "1").query},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newMessageRig(t)
			r.wantStatus(c, http.StatusForbidden)
		})
	}
	r.wantStatus(urlCheck("/wechat/wx00000000000000cc/message", "1"), http.StatusForbidden)
	r.wantLogged("level=WARN", "cause=unknown_path", "push_token")
	if got := a.messages(); len(got) != 0 {
		t.Errorf("the app got %+v", got)
	}
}

func TestAccountKeys_Faults(t *testing.T) {
	f := func(want string, accounts ...push.Account) {
		t.Helper()
		_, err := push.New(push.Options{Handler: &handler{}, Components: []push.Component{currentKeys()}, Accounts: accounts})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("New: %v; want an error that says %q", err, want)
		}
	}
	f("account "+account+": no push_token", push.Account{AppID: account})
	f("encoding_aes_key has 12 characters", push.Account{AppID: account, Key: push.Key{Token: secret.New("t"), EncodingAESKey: secret.New("short-s3cr3t")}})
	f("the appid is given twice", push.Account{AppID: component, Key: push.Key{Token: secret.New("t")}})
}
