package msgcrypt_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

const sample = "QUJDREVGR0g="

func TestParseEnvelope_Accepts(t *testing.T) {
	f := func(body string) {
		t.Helper()
		got, err := msgcrypt.ParseEnvelope([]byte(body))
		if err != nil || got != sample {
			t.Errorf("ParseEnvelope(%s) = %q, %v", body, got, err)
		}
	}
	f("<xml><AppId><![CDATA[wx1]]></AppId><Encrypt><![CDATA[" + sample + "]]></Encrypt></xml>")
	f("<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt>" + sample + "</Encrypt></xml>")
	f("<xml>\n  <Encrypt>\n    <![CDATA[" + sample + "]]>\n  </Encrypt>\n</xml>\n")
	f("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xml><Encrypt>" + sample + "</Encrypt></xml>")
	f("<xml><Encrypt>" + sample + "</Encrypt><encrypt>QQ==</encrypt><Other a=\"b\"><Encrypt>QQ==</Encrypt></Other></xml>")
	f(`{"ToUserName":"gh_1","Encrypt":"` + sample + `"}`)
	f("\ufeff<xml><Encrypt>" + sample + "</Encrypt></xml>")
	f("\ufeff" + `{"Encrypt":"` + sample + `"}`)
	f(` {"n":1,"o":{"Encrypt":"QQ==","l":[1,{"Encrypt":2}]},"Encrypt":"` + sample + `","encrypt":"QQ==","z":null} `)
	f(`{"Encrypt":"QUJDREVGR0g\u003d"}`)
}

// In compatible mode what the user wrote stands beside Encrypt.
func TestParseMixedEnvelope(t *testing.T) {
	plain := "<Content><![CDATA[a&b" + strings.Repeat("<i>", 100) + "]]></Content><Url>http://x/?a=1&amp;b=2</Url>"
	body := "<xml>" + plain + "<Encrypt><![CDATA[" + sample + "]]></Encrypt></xml>"
	if got, err := msgcrypt.ParseMixedEnvelope([]byte(body)); err != nil || got != sample {
		t.Errorf("ParseMixedEnvelope = %q, %v", got, err)
	}
	if _, err := msgcrypt.ParseEnvelope([]byte(body)); !errors.Is(err, msgcrypt.ErrEnvelope) {
		t.Errorf("ParseEnvelope: %v; want ErrEnvelope", err)
	}
	asJSON := `{"MsgId":1,"List":[{"a":null}],"Encrypt":"` + sample + `"}`
	if got, err := msgcrypt.ParseMixedEnvelope([]byte(asJSON)); err != nil || got != sample {
		t.Errorf("ParseMixedEnvelope = %q, %v", got, err)
	}
	for _, bad := range []string{
		"", "<!DOCTYPE x>" + body, strings.Replace(body, "</xml>", "<Encrypt>QQ==</Encrypt></xml>", 1),
		"<xml>" + strings.Repeat("<a>", 20) + body, strings.Replace(body, sample, "*", 1),
	} {
		if got, err := msgcrypt.ParseMixedEnvelope([]byte(bad)); got != "" || !errors.Is(err, msgcrypt.ErrEnvelope) {
			t.Errorf("ParseMixedEnvelope(%s) = %q, %v; want ErrEnvelope", bad, got, err)
		}
	}
}

func TestReplyJSON(t *testing.T) {
	e := msgcrypt.Envelope{Encrypt: sample, MsgSignature: "ab", TimeStamp: "1700000000", Nonce: `1"]]>`}
	const want = `{"Encrypt":"` + sample + `","MsgSignature":"ab","TimeStamp":1700000000,"Nonce":"1\"]]\u003e"}`
	if got := string(e.ReplyJSON()); got != want {
		t.Errorf("ReplyJSON = %s; want %s", got, want)
	}
}

func TestParseEnvelope_Refuses(t *testing.T) {
	f := func(name, body string) {
		t.Helper()
		got, err := msgcrypt.ParseEnvelope([]byte(body))
		if got != "" || !errors.Is(err, msgcrypt.ErrEnvelope) || msgcrypt.Cause(err) != "envelope" {
			t.Errorf("%s: ParseEnvelope = %q, %v; want ErrEnvelope", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), sample) {
			t.Errorf("%s: the error shows the body: %v", name, err)
		}
	}
	good := "<Encrypt>" + sample + "</Encrypt>"
	f("empty", "")
	f("blank", " \n ")
	f("neither XML nor JSON", sample)
	f("cut off", "<xml>"+good)
	f("another root", "<html>"+good+"</html>")
	f("two roots", "<xml>"+good+"</xml><xml/>")
	f("text before", "x<xml>"+good+"</xml>")
	f("text after", "<xml>"+good+"</xml>x")
	f("no Encrypt", "<xml><AppId>wx1</AppId></xml>")
	f("empty Encrypt", "<xml><Encrypt></Encrypt></xml>")
	f("other case", "<xml><encrypt>"+sample+"</encrypt></xml>")
	f("Encrypt too deep", "<xml><a>"+good+"</a></xml>")
	f("two Encrypts", "<xml>"+good+good+"</xml>")
	f("Encrypt in a namespace", `<xml xmlns:a="u"><a:Encrypt>`+sample+"</a:Encrypt></xml>")
	f("child in Encrypt", "<xml><Encrypt>"+sample+"<a/></Encrypt></xml>")
	f("two sections", "<xml><Encrypt><![CDATA[QUJD]]><![CDATA[REVG]]></Encrypt></xml>")
	f("text and section", "<xml><Encrypt>QUJD<![CDATA[REVG]]></Encrypt></xml>")
	f("markup in a section", "<xml><Encrypt><![CDATA[<b>QUJD</b>]]></Encrypt></xml>")
	f("comment in Encrypt", "<xml><Encrypt>QUJD<!-- x -->REVG</Encrypt></xml>")
	f("comment elsewhere", "<xml><!-- x -->"+good+"</xml>")
	f("instruction in Encrypt", "<xml><Encrypt>QUJD<?x y?>REVG</Encrypt></xml>")
	f("document type", "<!DOCTYPE xml><xml>"+good+"</xml>")
	f("external entity", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><Encrypt>&e;</Encrypt></xml>`)
	f("entity bomb", `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><xml><Encrypt>&b;</Encrypt></xml>`)
	f("character reference", "<xml><Encrypt>QUJ&#68;</Encrypt></xml>")
	f("depth", "<xml>"+strings.Repeat("<a>", 10_000)+good+strings.Repeat("</a>", 10_000)+"</xml>")
	f("depth within the markup", "<xml>"+strings.Repeat("<a>", 9)+strings.Repeat("</a>", 9)+good+"</xml>")
	f("attributes", "<xml"+strings.Repeat(` a="b"`, 1000)+">"+good+"</xml>")
	f("byte order mark inside", "<xml>"+good+"</xml>\ufeff")
	f("NUL", "<xml><Encrypt>QUJD\x00</Encrypt></xml>")
	f("control character", "<xml><Encrypt>QUJD\x1b</Encrypt></xml>")
	f("not UTF-8", "<xml><a>\xff</a>"+good+"</xml>")
	f("UTF-16", inUTF16("<xml>"+good+"</xml>"))
	f("another encoding", `<?xml version="1.0" encoding="GBK"?><xml>`+good+"</xml>")
	f("not base64", "<xml><Encrypt>QUJD-_</Encrypt></xml>")
	f("line break in it", "<xml><Encrypt>QUJD\nREVG</Encrypt></xml>")
	f("JSON: none", `{"a":1}`)
	f("JSON: cut off", `{"Encrypt":"`+sample+`"`)
	f("JSON: more", `{"Encrypt":"`+sample+`"}{}`)
	f("JSON: two", `{"Encrypt":"`+sample+`","Encrypt":"`+sample+`"}`)
	f("JSON: two, one escaped", `{"Encrypt":"`+sample+`","\u0045ncrypt":"`+sample+`"}`)
	f("JSON: number", `{"Encrypt":1}`)
	f("JSON: null", `{"Encrypt":null}`)
	f("JSON: object", `{"Encrypt":{"a":"`+sample+`"}}`)
	f("JSON: array", `{"Encrypt":["`+sample+`"]}`)
	f("JSON: array outside", `[{"Encrypt":"`+sample+`"}]`)
	f("JSON: other case", `{"encrypt":"`+sample+`"}`)
	f("JSON: NUL", `{"Encrypt":"QUJD\u0000"}`)
	f("JSON: depth", `{"a":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`,"Encrypt":"`+sample+`"}`)
	f("JSON: length", `{"a":[`+strings.Repeat("1,", 10_000)+`1],"Encrypt":"`+sample+`"}`)
}

func inUTF16(s string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

func TestParseEnvelope_Size(t *testing.T) {
	const head, tail = "<xml><Encrypt>", "</Encrypt></xml>"
	whole := strings.Repeat("A", msgcrypt.MaxEnvelope-len(head)-len(tail))
	if got, err := msgcrypt.ParseEnvelope([]byte(head + whole + tail)); err != nil || got != whole {
		t.Errorf("a body of just the limit: %d bytes, %v", len(got), err)
	}
	if _, err := msgcrypt.ParseEnvelope([]byte(head + whole + "A" + tail)); !errors.Is(err, msgcrypt.ErrEnvelope) {
		t.Errorf("a body of the limit and 1: %v", err)
	}
}

// What the parser is made to allocate by somebody unknown must not exceed a few
// times what he sends.
func TestParseEnvelope_Cheap(t *testing.T) {
	f := func(name, body string, limit float64) {
		t.Helper()
		got := testing.AllocsPerRun(5, func() {
			if _, err := msgcrypt.ParseEnvelope([]byte(body)); err == nil {
				t.Error("accepted")
			}
		})
		if got > limit {
			t.Errorf("%s: %v allocations; want at most %v", name, got, limit)
		}
	}
	f("attributes", "<xml"+strings.Repeat(` a="b"`, 150_000)+">", 20)
	f("elements", strings.Repeat("<a>", 300_000), 20)
	f("JSON", `{"a":[`+strings.Repeat("[],", 300_000), 1000)
}

func TestEnvelope_MarkupStaysText(t *testing.T) {
	e := msgcrypt.Envelope{Encrypt: sample, MsgSignature: "s", TimeStamp: "1<2>", Nonce: "n]]><Encrypt>QQ==</Encrypt>"}
	got, err := msgcrypt.ParseEnvelope(e.ReplyXML())
	if err != nil || got != sample {
		t.Errorf("ParseEnvelope(%s) = %q, %v", e.ReplyXML(), got, err)
	}
	if strings.Contains(string(e.ReplyXML()), "<2>") {
		t.Errorf("ReplyXML = %s has markup from the timestamp", e.ReplyXML())
	}
	message := string(e.MessageXML("gh_1"))
	if want := "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[" + sample + "]]></Encrypt></xml>"; message != want {
		t.Errorf("MessageXML = %s; want %s", message, want)
	}
}
