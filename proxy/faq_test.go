package proxy

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
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
	var refusal, refused string // what the call is answered with, and the token with which it was
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("access_token")
		if refused == "" || refused == token && !strings.Contains(refusal, `:-1,`) {
			refused = token
			io.WriteString(w, refusal)
			return
		}
		io.WriteString(w, `{"errcode":0}`)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	calls := map[string][2]int64{"passed on": {1, 1}, "a GET once more": {1, 2}, "renewed, sent again": {2, 2}}
	for _, row := range rows {
		want, ok := calls[row[2]]
		if !ok {
			t.Errorf("docs/faq.md: %s: what is %q?", row[1], row[2])
		}
		for i, method := range []string{"POST", "GET"} {
			refusal, refused = fmt.Sprintf(`{"errcode":%s,"errmsg":"as WeChat says"}`, row[1]), ""
			up.calls.Store(0)
			got := s.call(t, method, "/cgi-bin/menu/x", "", forMerchant())
			passed := got.body == refusal && got.fault() == ""
			if n := up.calls.Load(); n != want[i] || passed != (want[i] == 1) {
				t.Errorf("docs/faq.md: %s to a %s: %q after %d calls, and the table says %q", row[1], method, got.body, n, row[2])
			}
		}
	}
}
