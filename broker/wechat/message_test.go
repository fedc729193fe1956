package wechat_test

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	textXML = "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName><FromUserName><![CDATA[oUser-_1]]></FromUserName>" +
		"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[a < b & c]]></Content><MsgId>23456789012345678</MsgId></xml>"
	eventXML = "<xml><ToUserName>gh_0123456789ab</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1700000000</CreateTime>" +
		"<MsgType>event</MsgType><Event>CLICK</Event><EventKey>a</EventKey></xml>"
	eventJSON = `{"ToUserName":"gh_1","FromUserName":"oUser","CreateTime":1700000000,"MsgType":"event","Event":"user_enter_tempsession","SessionFrom":{"a":["b"]}}`
)

func parseMessage(t *testing.T, document string) wechat.Message {
	t.Helper()
	m, err := wechat.ParseMessage(pushComponent, pushMerchant, []byte(document))
	if err != nil {
		t.Fatalf("ParseMessage(%s): %v", document, err)
	}
	return m
}

func TestParseMessage_Fields(t *testing.T) {
	f := func(document string, want wechat.Message) {
		t.Helper()
		m := parseMessage(t, document)
		if len(m.ID) != 32 || string(m.Document) != document {
			t.Errorf("ID %q, document %s", m.ID, m.Document)
		}
		want.Component, want.AppID = pushComponent, pushMerchant
		m.ID, m.Document = "", nil
		if d := cmp.Diff(want, m); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	at := time.Unix(1700000000, 0)
	f(textXML, wechat.Message{
		MsgType: "text", FromUserName: "oUser-_1", ToUserName: "gh_0123456789ab", MsgID: "23456789012345678", CreateTime: at,
	})
	f(eventXML, wechat.Message{MsgType: "event", Event: "CLICK", FromUserName: "oUser", ToUserName: "gh_0123456789ab", CreateTime: at})
	f(eventJSON, wechat.Message{
		MsgType: "event", Event: "user_enter_tempsession", FromUserName: "oUser", ToUserName: "gh_1", CreateTime: at, IsJSON: true,
	})
	f("<xml><MsgType>new_type</MsgType></xml>", wechat.Message{MsgType: "new_type"})
	f("<xml><MsgType>event</MsgType><Event>a b</Event><CreateTime>soon</CreateTime></xml>", wechat.Message{MsgType: "event"})
	f("<xml><MsgType>text</MsgType><Event>x</Event></xml>", wechat.Message{MsgType: "text"})
}

func TestParseMessage_ID(t *testing.T) {
	id := func(document string) string { t.Helper(); return parseMessage(t, document).ID }
	text := id(textXML)
	if again := id(strings.Replace(textXML, "1700000000", "1700000005", 1)); again != text {
		t.Error("a repeat with the same MsgId has another ID")
	}
	if id(strings.Replace(textXML, "23456789012345678", "23456789012345679", 1)) == text {
		t.Error("another MsgId has the same ID")
	}
	event := id(eventXML)
	if id(eventXML) != event {
		t.Error("a repeat of an event has another ID")
	}
	// A user taps two entries of the menu in one second.
	if event == id(strings.Replace(eventXML, "<EventKey>a", "<EventKey>b", 1)) {
		t.Error("another event of the same second has the same ID")
	}
	for _, account := range [][2]string{{pushComponent, "wxa000000000000002"}, {"wx7f00c0de00000002", pushMerchant}, {"", pushMerchant}} {
		other, err := wechat.ParseMessage(account[0], account[1], []byte(textXML))
		if err != nil || other.ID == text {
			t.Errorf("of %v: ID %q, %v; want another", account, other.ID, err)
		}
	}
}

// A user may paste what no XML parser takes. The message arrives all the same.
func TestParseMessage_ForbiddenCharacters(t *testing.T) {
	for _, odd := range []string{"\x00", "\x0b", "\x1f", "\ufffe", "\uffff", "\xff"} {
		m := parseMessage(t, strings.Replace(textXML, "a < b", "a "+odd+" b", 1))
		if !bytes.Contains(m.Document, []byte("a \ufffd b & c")) {
			t.Errorf("%q: %s", odd, m.Document)
		}
	}
	if m := parseMessage(t, strings.Replace(textXML, "a < b", "\t\r\n😀", 1)); !bytes.Contains(m.Document, []byte("\t\r\n😀 & c")) {
		t.Errorf("%s", m.Document)
	}
}

func TestParseMessage_Refuses(t *testing.T) {
	f := func(document, want string) {
		t.Helper()
		_, err := wechat.ParseMessage(pushComponent, pushMerchant, []byte(document))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("ParseMessage(%s): %v; want an error that says %q", document, err, want)
		}
	}
	f("", "empty")
	f("s3cr3t", "text outside the root")
	f("<xml><Content>s3cr3t</Content></xml>", "MsgType is missing")
	f("<xml><MsgType>s3cr3t s</MsgType></xml>", "MsgType is not a name")
	f("<xml><MsgType>text</MsgType><MsgType>image</MsgType></xml>", "MsgType is given twice")
	f("<!DOCTYPE x><xml><MsgType>text</MsgType></xml>", "document type")
	f(`{"MsgType":["s3cr3t"]}`, "MsgType is neither text nor number")
	f("<xml><MsgType>text</MsgType><Content>"+strings.Repeat("s3cr3t", 1<<18)+"</Content></xml>", "longer than")
}

func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{textXML, eventXML, eventJSON, "\ufeff" + textXML, "<xml>\x0b<MsgType>text</MsgType></xml>", `{"MsgType":"\ufffe"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := wechat.ParseMessage(pushComponent, pushMerchant, bytes.Clone(document))
		if err != nil {
			return
		}
		if m.MsgType == "" || len(m.MsgType) > 128 || len(m.Event) > 128 || len(m.ID) != 32 || !utf8.Valid(m.Document) {
			t.Fatalf("ParseMessage(%q) = %+v", document, m)
		}
		if again, err := wechat.ParseMessage(pushComponent, pushMerchant, bytes.Clone(m.Document)); err != nil || again.ID != m.ID {
			t.Fatalf("its own document: %v", err)
		}
		if !m.IsJSON && xml.Unmarshal(m.Document, new(struct{})) != nil {
			t.Fatalf("no parser takes %q", m.Document)
		}
	})
}
