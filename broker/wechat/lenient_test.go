package wechat_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// TestClient_LenientNumbers has expires_in in each shape that a number may come in.
func TestClient_LenientNumbers(t *testing.T) {
	const token = `{"access_token":"0123456789abcdef","expires_in":`
	f := func(body string, want time.Duration) {
		t.Helper()
		g, err := answering(t, 200, body).StableToken(t.Context(), account, accountSecret, false)
		if err != nil || g.Life != want || g.Token.Reveal() != "0123456789abcdef" {
			t.Errorf("%s: life %s, %v", body, g.Life, err)
		}
	}
	f(token+`"7200"}`, 2*time.Hour)
	f(token+`" 7200 "}`, 2*time.Hour)
	f(token+`7200.0}`, 2*time.Hour)
	f(token+`7200.9}`, 2*time.Hour)
	f(token+`"7200.0"}`, 2*time.Hour)
	f(token+`7.2e3}`, 2*time.Hour)
	f(token+`86400}`, 24*time.Hour)
	f("\ufeff"+token+`7200}`, 2*time.Hour)
	f("\ufeff\r\n "+token+"7200}\r\n", 2*time.Hour)
	f(token+`7200,"errcode":"0","errmsg":null}`, 2*time.Hour)
	f(token+`7200,"errcode":null}`, 2*time.Hour)
	f(token+`7200,"errcode":""}`, 2*time.Hour)
	f(token+`7200,"errcode":0.0}`, 2*time.Hour)
	f(token+`7200,"expires_in":7200,"ACCESS_TOKEN":"x"}`, 2*time.Hour)
	f(token+"7200,\"note\":\"\x01\\S\"}", 2*time.Hour)
}

func TestClient_LenientErrcode(t *testing.T) {
	for _, code := range []string{`40001`, `"40001"`, `40001.0`, `4.0001e4`} {
		_, err := answering(t, 200, "\ufeff{\"errcode\":"+code+",\"errmsg\":\"of \x07a\\Sb\"}").StableToken(t.Context(), account, accountSecret, false)
		if wechat.Code(err) != 40001 || !strings.Contains(err.Error(), `of  a\Sb`) {
			t.Errorf("%s: %v", code, err)
		}
	}
	_, err := answering(t, 200, `{"errcode":"-1","errmsg":{}}`).StableToken(t.Context(), account, accountSecret, false)
	if wechat.Code(err) != -1 {
		t.Errorf("-1: %v", err)
	}
}

// odd are texts as WeChat writes them, between quotes, and what they stand for. Where
// encoding/json can read one itself, it says the same.
var odd = []struct{ written, want string }{
	{"plain 名字", "plain 名字"},
	{"tab\tline\nreturn\rbell\x07nul\x00", "tab\tline\nreturn\rbell\x07nul\x00"},
	{`\S`, `\S`},
	{`a\x41\'\ `, `a\x41\'\ `},
	{`\\S\"\/\n`, "\\S\"/\n"},
	{`\\\S`, `\\S`},
	{`\u00e9 \u12 \uzzzz`, `é \u12 \uzzzz`},
	{`\ud83d\ude00`, "😀"},
	{`\ud83d`, "\ufffd"},
	{`\ud83`, `\ud83`},
	{`\ud83d\n`, "\ufffd\n"},
	{"\xff\xfe", "\ufffd\ufffd"},
	{"cut \xe5\x90", "cut \ufffd\ufffd"},
	{"\u2028<b>&amp;\x7f", "\u2028<b>&amp;\x7f"},
	{"", ""},
}

// TestClient_TextsThatMerchantsChose has each odd text as a nickname, whose refresh
// token must be read all the same.
func TestClient_TextsThatMerchantsChose(t *testing.T) {
	for _, o := range odd {
		body := `{"authorizer_info":{"nick_name":"` + o.written + `","signature":"` + o.written + `","alias":null},` +
			`"authorization_info":{"authorizer_appid":"` + authorizer + `","authorizer_refresh_token":"refreshtoken@@@1","func_info":[[],null,{"funcscope_category":7}]}}`
		info, err := answering(t, 200, body).AuthorizerInfo(t.Context(), component, secret.New("t"), authorizer)
		if err != nil || info.Name != o.want || info.RefreshToken.Reveal() != "refreshtoken@@@1" {
			t.Errorf("%q: name %q, %v", o.written, info.Name, err)
		}
	}
}

func TestClient_InfoInOddShapes(t *testing.T) {
	for _, body := range []string{
		`{"authorizer_info":null,"authorization_info":{"authorizer_refresh_token":"r"}}`,
		`{"authorizer_info":[],"authorization_info":{"authorizer_appid":null,"authorizer_refresh_token":"r","func_info":{}}}`,
		`{"authorizer_info":{"nick_name":12},"authorization_info":{"authorizer_refresh_token":"r","func_info":"x"},"errcode":0}`,
	} {
		info, err := answering(t, 200, body).AuthorizerInfo(t.Context(), component, secret.New("t"), authorizer)
		if err != nil || info.RefreshToken.Reveal() != "r" || info.Name != "" {
			t.Errorf("%s: %+v, %v", body, info, err)
		}
	}
	for _, body := range []string{
		`{"authorization_info":null}`, `{"authorization_info":{"authorizer_refresh_token":null}}`,
		`{"authorization_info":{"authorizer_refresh_token":"a b"}}`,
		`{"authorization_info":{"authorizer_refresh_token":"a","authorizer_refresh_token":"b"}}`,
	} {
		info, err := answering(t, 200, body).AuthorizerInfo(t.Context(), component, secret.New("t"), authorizer)
		if err != nil || !info.RefreshToken.IsZero() {
			t.Errorf("%s: a refresh token that can be none is taken, or %v", body, err)
		}
	}
	if _, err := answering(t, 200, `{"authorization_info":{"authorizer_appid":"wxb"}}`).AuthorizerInfo(t.Context(), component, secret.New("t"), authorizer); err == nil {
		t.Error("an answer about another account is taken")
	}
}

// TestClient_ListSkipsItemsNotTheList has one item of each bad sort among good ones.
func TestClient_ListSkipsItemsNotTheList(t *testing.T) {
	body := "\ufeff" + `{"total_count":"13","list":[
		{"authorizer_appid":"wxa1","refresh_token":"r1","auth_time":"1700000001"},
		{"authorizer_appid":"","refresh_token":"r2","auth_time":1700000002},
		{"authorizer_appid":"wxa3","refresh_token":"r3","auth_time":1700000003.0},
		{"refresh_token":"r4","auth_time":1700000004}, null, 7, [], "wxa5",
		{"authorizer_appid":17,"refresh_token":"r6"},
		{"authorizer_appid":"wx/a7","refresh_token":"r7"},
		{"authorizer_appid":"wxa8","refresh_token":null,"auth_time":null,"nick_name":"` + "\t" + `\S"},
		{"authorizer_appid":"wxa9","refresh_token":"r\u0000","auth_time":-5},
		{"authorizer_appid":"wxa10","authorizer_appid":"wxa11","refresh_token":"r10"}
	]}`
	page, err := answering(t, 200, body).AuthorizerList(t.Context(), component, secret.New("t"), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range page.Authorizers {
		at := int64(0)
		if !a.AuthorizedAt.IsZero() {
			at = a.AuthorizedAt.Unix()
		}
		got = append(got, a.AppID+" "+a.RefreshToken.Reveal()+" "+strconv.FormatInt(at, 10))
	}
	want := "wxa1 r1 1700000001; wxa3 r3 1700000003; wxa8  0; wxa9  0"
	if strings.Join(got, "; ") != want || page.Skipped != 9 || page.Total != 13 || page.Len() != 13 {
		t.Errorf("%q, %d skipped of %d\nwant %q", got, page.Skipped, page.Total, want)
	}
}

func TestClient_ListThatIsNone(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		page, err := answering(t, 200, body).AuthorizerList(t.Context(), component, secret.New("t"), 0)
		switch {
		case want == "" && (err != nil || page.Len() != 0):
			t.Errorf("%s: %d accounts, %v", body, page.Len(), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	f(`{"total_count":0,"list":[]}`, "")
	f(`{"total_count":0,"list":null}`, "")
	f(`{"total_count":"0"}`, "")
	f(`{"list":[]}`, "total_count is missing")
	f(`{"errcode":0,"errmsg":"ok"}`, "total_count is missing")
	f(`{"total_count":-1,"list":[]}`, "total_count is not a count")
	f(`{"total_count":3}`, "list is missing")
	f(`{"total_count":3,"list":null}`, "list is missing")
	f(`{"total_count":3,"list":{}}`, "list is not an array")
	f(`{"total_count":3,"list":[{"authorizer_appid":"wxa1"},{"authorizer_app`, "cut off")
}

// TestClient_ExchangeKeepsTheRefreshToken has a code exchanged for a token that cannot
// be used: the code is spent, so what came with it must not be lost.
func TestClient_ExchangeKeepsTheRefreshToken(t *testing.T) {
	for _, token := range []string{
		`"authorizer_access_token":"t","expires_in":0`, `"authorizer_access_token":null,"expires_in":7200`,
		`"authorizer_access_token":"a b","expires_in":7200`, `"authorizer_access_token":"t"`,
	} {
		body := "\ufeff" + `{"authorization_info":{"authorizer_appid":"` + authorizer + `",` + token + `,"authorizer_refresh_token":"r"}}`
		x, err := answering(t, 200, body).QueryAuth(t.Context(), component, secret.New("t"), secret.New("code"))
		if err != nil || x.Authorizer.RefreshToken.Reveal() != "r" || !x.Grant.Token.IsZero() || string(x.Answer) != body {
			t.Errorf("%s: %+v, %v", token, x.Authorizer, err)
		}
	}
}
