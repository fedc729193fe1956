package pushdoc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

var (
	wanted = map[string]bool{"AppId": true, "appid": true}
	limits = pushdoc.Limits{Bytes: 1000, Markup: 20, Depth: 4, JSONTokens: 40}
)

func TestRead(t *testing.T) {
	f := func(doc string, want pushdoc.Fields) {
		t.Helper()
		got, err := pushdoc.Read([]byte(doc), wanted, limits)
		if err != nil {
			t.Errorf("%s: %v", doc, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", doc, diff)
		}
	}
	f(`<xml><AppId><![CDATA[wx1]]></AppId><other><appid>no</appid></other><appid> wx2 </appid></xml>`, pushdoc.Fields{"AppId": "wx1", "appid": "wx2"})
	f("<?xml version=\"1.0\"?>\n<xml><AppId></AppId></xml>\n", pushdoc.Fields{"AppId": ""})
	f(`<xml><APPID>x</APPID></xml>`, pushdoc.Fields{})
	f(`{"AppId":"wx1","other":{"appid":"no"},"appid":7}`, pushdoc.Fields{"AppId": "wx1", "appid": "7"})
	f(`{"AppId":null}`, pushdoc.Fields{"AppId": ""})
	f("\ufeff<xml><AppId>wx1</AppId></xml>", pushdoc.Fields{"AppId": "wx1"})
	f("\ufeff\n{\"AppId\":\"wx1\"}", pushdoc.Fields{"AppId": "wx1"})
}

func TestRead_Refuses(t *testing.T) {
	f := func(doc, why string) {
		t.Helper()
		got, err := pushdoc.Read([]byte(doc), wanted, limits)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, %v; want an error with %q", doc, got, err, why)
		}
	}
	f(``, "empty")
	f("\ufeff", "empty")
	f("\ufeff\ufeff<xml></xml>", "text outside")
	f("<xml><AppId>\ufeffwx1</AppId></xml>\ufeff", "text outside")
	f(strings.Repeat(" ", 1001), "longer than")
	f("<xml>\xff</xml>", "UTF-8")
	f("<xml>\x00</xml>", "control characters")
	f(`<xml><AppId>a</AppId><AppId>b</AppId></xml>`, "AppId is given twice")
	f(`<xml><AppId>a<![CDATA[b]]></AppId></xml>`, "AppId is in pieces")
	f(`<xml><AppId><b/></AppId></xml>`, "AppId has elements in it")
	f(`<xml><AppId>a<!-- --></AppId></xml>`, "comment")
	f(`<!DOCTYPE xml [<!ENTITY e "x">]><xml></xml>`, "document type")
	f(`<xml>&undefined;</xml>`, "not well-formed")
	f(`<xml></xml><xml></xml>`, "root")
	f(`<html></html>`, "root")
	f(`<xml></xml>x`, "text outside")
	f(strings.Repeat("<a>", 21), "too much markup")
	f(`<xml><a><a><a><a></a></a></a></a></xml>`, "too deep")
	f(`{"AppId":"a","AppId":"b"}`, "AppId is given twice")
	f(`{"AppId":["a"]}`, "neither text nor number")
	f(`{"AppId":true}`, "neither text nor number")
	f(`{"AppId":"a\u0000b"}`, "control characters")
	f(`{"a":[[[[[1]]]]]}`, "too deep")
	f(`{"a":[`+strings.Repeat("1,", 50)+`1]}`, "too much JSON")
	f(`{"a":1}{}`, "more than one")
	f(`{"a":1`, "not well-formed")
}

func TestRead_TextOnly(t *testing.T) {
	strict := limits
	strict.TextOnly = true
	for _, doc := range []string{`<xml><AppId>a&amp;b</AppId></xml>`, `<!DOCTYPE xml><xml></xml>`, `{"AppId":1}`, `{"AppId":null}`} {
		if got, err := pushdoc.Read([]byte(doc), wanted, strict); err == nil {
			t.Errorf("%s: %v, want an error", doc, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`<xml><AppId><![CDATA[wx1]]></AppId></xml>`)
	f.Add(`{"AppId":"wx1"}`)
	f.Fuzz(func(t *testing.T, doc string) {
		fields, err := pushdoc.Read([]byte(doc), wanted, limits)
		if err != nil {
			return
		}
		for name, text := range fields {
			if !wanted[name] || text != strings.TrimSpace(text) || len(text) > len(doc) {
				t.Errorf("element %q: %q", name, text)
			}
		}
	})
}
