package proxy

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// oddNames are nicknames as WeChat writes them between quotes.
var oddNames = []string{"tab\tbell\x07nul\x00\r\n", `\S`, `\x41\'`, `\u12`, `\ud83d`, "\xff\xe5\x90", `\\\"}]{[`, ""}

// TestMask_OddAnswers has tokens taken out of answers that are no JSON to the letter,
// and not one other byte changed.
func TestMask_OddAnswers(t *testing.T) {
	var answer string
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
	e := &exchange{}
	s := start(t, Options{Source: platform(), Exchange: e, Upstream: UpstreamOptions{URL: up.URL}})
	handle := s.keys.issue(authorizerKey(merchant), nil)
	for _, name := range oddNames {
		original := "\ufeff {\"authorizer_info\":{\"nick_name\":\"" + name + "\"},\"n\":7.2e3,\"authorization_info\" : {" +
			`"authorizer_refresh_token":"tok-r","authorizer_appid":"` + merchant + `","alias":"` + name + `","authorizer_access_token" :"tok-a","func_info":null}}` + "\r\n"
		want := strings.NewReplacer("tok-r", placeholder, "tok-a", handle).Replace(original)
		answer, e.answer, e.learned = original, original, nil
		for _, path := range []string{"/cgi-bin/component/api_get_authorizer_info", "/cgi-bin/component/api_query_auth"} {
			got := s.call(t, "POST", path, `{"authorization_code":"code"}`)
			if got.body != want || got.status != 200 {
				t.Errorf("%s, %q: %d %q\nwant %q", path, name, got.status, got.body, want)
			}
		}
		if learned := component + " " + merchant + " tok-r"; !slices.Equal(e.learned, []string{learned, learned}) {
			t.Errorf("%q: learned %q", name, e.learned)
		}
	}
}

// TestMask_NoTokenPassesInAnyShape has a token under each name in shapes that WeChat
// never sent.
func TestMask_NoTokenPassesInAnyShape(t *testing.T) {
	var answer string
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
	e := &exchange{}
	s := start(t, Options{Source: platform(), Exchange: e, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(body string, status int) {
		t.Helper()
		answer = body
		got := s.call(t, "POST", "/cgi-bin/component/api_get_authorizer_list", "{}")
		if got.status != status || strings.Contains(got.body, "12345") {
			t.Errorf("%s: %d %q", body, got.status, got.body)
		}
		if status == 504 && got.fault() != "answer_unreadable" {
			t.Errorf("%s: fault %q", body, got.fault())
		}
	}
	f(`{"authorizer_appid":"wxa","refresh_token":"\S12345"}`, 200)
	f(`{"authorizer_appid":"wxa","refresh_token":12345}`, 200)
	f(`{"authorizer_appid":"wxa","refresh_token":["12345"]}`, 200)
	f(`{"authorizer_appid":"wxa","refresh_token":{"x":"12345"}}`, 200)
	f(`{"authorizer_appid":"wxa","refresh\u005ftoken":"12345"}`, 200)
	f(`{"authorizer_appid":"\S","refresh_token":"12345"}`, 200)
	f(`{"refresh_token":null,"refresh_token":"12345"}`, 200)
	f(`{"x":nonsense,"refresh_token":"12345"}`, 504)
	f(`{"refresh_token":"12345`, 504)
	f(`{"a":"\","refresh_token":"12345"}`, 504)
	f(`[{"refresh_token":"12345"}]`, 200)
	f(`<html>{"refresh_token":"12345"}`, 504)
	f(`<html>no such page</html>`, 200)
	if want := component + " wxa 12345"; slices.ContainsFunc(e.learned, func(got string) bool { return got != want }) {
		t.Errorf("learned %q", e.learned)
	}
}

// FuzzMask has any text in a nickname's place.
func FuzzMask(f *testing.F) {
	for _, name := range oddNames {
		f.Add(name)
	}
	s := &Server{exchange: &exchange{}}
	f.Fuzz(func(t *testing.T, name string) {
		before, after := `{"authorizer_info":{"nick_name":"`+name+`"},"authorization_info":{"authorizer_refresh_token":"`, `","x":"`+name+`"}}`
		got, fault := s.maskTokens(&request{}, component, []byte(before+"tok-12345"+after))
		switch {
		case fault != nil || strings.Contains(name, "tok-12345"):
		case strings.Contains(string(got), "tok-12345") && !strings.Contains(name, `"`):
			t.Errorf("the token passes: %q", got)
		case !strings.Contains(name, `"`) && string(got) != before+placeholder+after:
			t.Errorf("%q", got)
		}
	})
}
