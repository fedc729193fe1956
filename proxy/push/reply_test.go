package push

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

func plainSignature(stamp string) string { return msgcrypt.Signature("t", stamp, "1", "") }

func TestReplyXML(t *testing.T) {
	f := func(reply, want string) {
		t.Helper()
		if got, err := plainReply([]byte(reply), false); err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v; want %s", reply, got, err, want)
		}
	}
	f("{}", "<xml></xml>")
	f("\ufeff{\"a\":1.50,\"b\":true,\"c\":null}", "<xml><a>1.50</a><b><![CDATA[true]]></b><c></c></xml>")
	f(`{"Image":{"MediaId":"<&>"}}`, "<xml><Image><MediaId><![CDATA[<&>]]></MediaId></Image></xml>")
	f(`{"l":[[],[{"a":"b"}]]}`, "<xml><l><item></item><item><item><a><![CDATA[b]]></a></item></item></l></xml>")
	bad := func(reply string) {
		t.Helper()
		if got, err := plainReply([]byte(reply), false); !errors.Is(err, errBadReply) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s becomes %s, %v; want errBadReply", reply, got, err)
		}
	}
	bad(`{"":"s3cr3t"}`)
	bad(`{"1a":"s3cr3t"}`)
	bad(`{"a><b":"s3cr3t"}`)
	bad(`{"a":"s3cr3t\u0000"}`)
	bad(`{"a":"s3cr3t"`)
	bad(`[1]`)
	bad(`{"a":1}{}`)
	bad(`{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`)
	bad(`{"a":"` + strings.Repeat("]]>", 20000) + `"}`)
}

// What is remembered is counted by its length. Blanks around a reply must not be kept with it.
func TestPlainReply_KeepsNoBlanks(t *testing.T) {
	f := func(reply string) {
		t.Helper()
		got, err := plainReply([]byte(strings.Repeat(" ", 60<<10)+reply), strings.HasPrefix(reply, "{"))
		if err != nil || string(got) != reply || cap(got) > 1<<10 {
			t.Errorf("%s, %v: %d bytes are kept", got, err, cap(got))
		}
		got, err = plainReply([]byte(reply+strings.Repeat("\n", 60<<10)), strings.HasPrefix(reply, "{"))
		if err != nil || string(got) != reply || cap(got) > 1<<10 {
			t.Errorf("%s, %v: %d bytes are kept", got, err, cap(got))
		}
	}
	f("<xml><a>b</a></xml>")
	f(`{"a":"b"}`)
}

// FuzzReply: whatever an app answers, WeChat gets nothing, or what a parser takes.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"", "success", "<xml><a>b</a></xml>", `{"a":[1,"x",{"b":null}]}`, "<html/>", `{"a":"\ud800]]>"}`} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, reply []byte, asJSON bool) {
		got, err := plainReply(reply, asJSON)
		switch {
		case err != nil && (!errors.Is(err, errBadReply) || got != nil):
			t.Fatalf("%q, %v", got, err)
		case asJSON && len(got) > 0 && got[0] != '{':
			t.Fatalf("%q is not JSON", got)
		case asJSON || len(got) == 0:
			return
		}
		if err := xml.Unmarshal(got, new(struct {
			XMLName xml.Name `xml:"xml"`
		})); err != nil || len(got) > replyLimits.Bytes {
			t.Fatalf("%q becomes %q: %v", reply, got, err)
		}
	})
}
