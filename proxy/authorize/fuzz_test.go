package authorize_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

// noExchange is a broker that gives pre_auth_codes, and fails the test when a code is to
// be exchanged.
type noExchange struct{ t *testing.T }

func (noExchange) PreAuthCode(context.Context, string) (secret.Text, time.Duration, error) {
	return secret.New("preauthcode@@@fuzz"), 10 * time.Minute, nil
}

func (b noExchange) QueryAuth(context.Context, string, secret.Text) ([]byte, error) {
	b.t.Error("a state that nobody issued was taken")
	return nil, errors.New("no")
}

func (noExchange) AuthorizerInfo(context.Context, string, string) (wechat.Authorizer, error) {
	return wechat.Authorizer{}, errors.New("no")
}

func (noExchange) Now() time.Time { return time.Unix(1_800_000_000, 0) }

func fuzzed(t *testing.T, path, query, cookie, language string) *httptest.ResponseRecorder {
	t.Helper()
	p, err := authorize.New(authorize.Options{Broker: noExchange{t}, PublicURL: publicURL, Keys: [][]byte{make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.URL.RawQuery = query
	r.Header["Cookie"], r.Header["Accept-Language"] = []string{"__Host-wxsidecar-visit=" + cookie}, []string{language}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// Nothing that is sent to the second page without a visit leads to an exchange.
func FuzzAuthorized(f *testing.F) {
	f.Add("state=AAAA&auth_code=x", "AAAAAAAAAAAAAAAAAAAAAA", "zh")
	f.Add("state="+strings.Repeat("A", 43)+"&auth_code=x", "AAAAAAAAAAAAAAAAAAAAAA", "en;q=0.1, zh;q=nan")
	f.Add("state=%00&state=&auth_code", "", "*")
	f.Fuzz(func(t *testing.T, query, cookie, language string) {
		w := fuzzed(t, "/wechat/"+component+"/authorized", query, cookie, language)
		if w.Code != http.StatusForbidden && w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%q: status %d, location %q", query, w.Code, w.Header().Get("Location"))
		}
	})
}

// Whatever the first page is asked for, its link leads to WeChat and back to the second
// page, and nothing of the query is markup.
func FuzzAuthorize(f *testing.F) {
	f.Add("auth_type=3&state=%3Cscript%3E", "zh-CN")
	f.Add("biz_appid=wxb000000000000001&category_id_list=1|2&state=%22%27%26", "en")
	f.Fuzz(func(t *testing.T, query, language string) {
		w := fuzzed(t, authorizePath, query, "", language)
		if w.Code == http.StatusBadRequest {
			return
		}
		body := w.Body.String()
		m := hrefPattern.FindStringSubmatch(body)
		if w.Code != http.StatusOK || m == nil || strings.Contains(body, "<script") {
			t.Fatalf("%q: status %d: %s", query, w.Code, body)
		}
		link, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
		if err != nil || link.Host != "mp.weixin.qq.com" || !strings.HasPrefix(link.Query().Get("redirect_uri"), publicURL+"/wechat/"+component+"/authorized?state=") {
			t.Errorf("%q: the link is %s, %v", query, link, err)
		}
	})
}
