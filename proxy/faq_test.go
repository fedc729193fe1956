package proxy

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// TestFAQ_CallsEndAsTheTableSays answers a POST and a GET of an app by each errcode of
// docs/faq.md, as long as the token is the first one.
func TestFAQ_CallsEndAsTheTableSays(t *testing.T) {
	text, err := os.ReadFile("../docs/faq.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| \[(-?\d+)\]\(#[\w-]+\) \| [^|]+ \| ([^|]+) \|`).FindAllStringSubmatch(string(text), -1)
	if len(rows) < 24 {
		t.Fatalf("only %d errcodes are in the table of docs/faq.md", len(rows))
	}
	spent := tokenText(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant, Component: component}, 1)
	calls := map[string][2]int64{"passed on": {1, 1}, "a GET once more": {1, 2}, "renewed, sent again": {2, 2}}
	for _, row := range rows {
		want, ok := calls[row[2]]
		if !ok {
			t.Errorf("docs/faq.md: %s: what is %q?", row[1], row[2])
		}
		for i, method := range []string{"POST", "GET"} {
			refusal := fmt.Sprintf(`{"errcode":%s,"errmsg":"as WeChat says"}`, row[1])
			first := true
			up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
				if first || row[2] == "renewed, sent again" && r.URL.Query().Get("access_token") == spent {
					first = false
					io.WriteString(w, refusal)
					return
				}
				io.WriteString(w, `{"errcode":0}`)
			})
			s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
			body := ""
			if method == "POST" {
				body = "{}"
			}
			got := s.call(t, method, "/cgi-bin/menu/x", body, forMerchant())
			passed := got.body == refusal && got.fault() == ""
			if n := up.calls.Load(); n != want[i] || passed != (want[i] == 1) {
				t.Errorf("docs/faq.md: %s to a %s: %q after %d calls, and the table says %q", row[1], method, got.body, n, row[2])
			}
		}
	}
}
