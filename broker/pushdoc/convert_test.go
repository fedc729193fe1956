package pushdoc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

func TestToJSON(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		got, err := pushdoc.ToJSON([]byte(doc), limits)
		if err != nil || string(got) != want {
			t.Errorf("%s:\n%s, %v; want\n%s", doc, got, err, want)
		}
	}
	f(`<xml></xml>`, `{}`)
	f("\ufeff<?xml version=\"1.0\"?>\n<xml>\n <AppId><![CDATA[wx1]]></AppId>\n <CreateTime>1413192605</CreateTime>\n</xml>", `{"AppId":"wx1","CreateTime":"1413192605"}`)
	f(`<xml><Content><![CDATA[ a<b>"&amp; ]]></Content><Empty/></xml>`, `{"Content":" a<b>\"&amp; ","Empty":""}`)
	f(`<xml><a>x</a><b>1</b><a><![CDATA[y]]>z</a></xml>`, `{"a":["x","yz"],"b":"1"}`)
	f("<xml><info>\n<name>n</name> beside <code/></info></xml>", `{"info":{"name":"n","code":""}}`)
	f(`<xml><list><item>1</item><item><b>2</b></item></list></xml>`, `{"list":{"item":["1",{"b":"2"}]}}`)
	f("\ufeff {\"AppId\":\"wx1\", \"n\": 7} ", `{"AppId":"wx1", "n": 7}`)
}

func TestToJSON_Refuses(t *testing.T) {
	f := func(doc, why string) {
		t.Helper()
		got, err := pushdoc.ToJSON([]byte(doc), limits)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %s, %v; want an error with %q", doc, got, err, why)
		}
	}
	f(``, "empty")
	f(`<xml><a><a><a><a></a></a></a></a></xml>`, "too deep")
	f(strings.Repeat("<a>", 21), "too much markup")
	f(`<xml><!-- --></xml>`, "comment")
	f(`{"a":1}{}`, "more than one")
}

func FuzzToJSON(f *testing.F) {
	f.Add(`<xml><a>x</a><b><c/></b><a>` + "\u2028" + `</a></xml>`)
	f.Add(`{"AppId":"wx1"}`)
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := pushdoc.ToJSON([]byte(doc), limits)
		if _, refused := pushdoc.Read([]byte(doc), nil, limits); (err != nil) != (refused != nil) {
			t.Errorf("%v, but Read: %v", err, refused)
		}
		if err == nil && !json.Valid(got) {
			t.Errorf("not JSON: %s", got)
		}
	})
}
