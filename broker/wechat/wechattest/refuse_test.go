package wechattest_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestComponentToken_Refuses(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	w.AddComponent(wechattest.Component{AppID: "wxother", Secret: "other-secret"})
	foreign, ticket := w.NewTicket("wxother"), w.NewTicket(platform)
	f := func(what, body string, want int) {
		t.Helper()
		code, m := w.call(http.MethodPost, "/cgi-bin/component/api_component_token", body)
		w.wantCode(what, code, want)
		if msg, _ := m["errmsg"].(string); want != 0 && !strings.Contains(msg, " rid: ") {
			t.Errorf("%s: errmsg %q has no rid", what, msg)
		}
	}
	body := func(appID, secret, ticket string) string {
		return `{"component_appid":"` + appID + `","component_appsecret":"` + secret + `","component_verify_ticket":"` + ticket + `"}`
	}
	f("good", body(platform, platformKey, ticket), 0)
	f("empty body", "", 44002)
	f("no JSON", "component_appid=1", 47001)
	f("two values", body(platform, platformKey, ticket)+"{}", 47001)
	f("array", "[]", 47001)
	f("null", "null", 47001)
	f("bad UTF-8", "{\"component_appid\":\"\xff\"}", 47001)
	f("number for a text", `{"component_appid":1}`, 47001)
	f("no appid", body("", platformKey, ticket), 41018)
	f("name in other case", strings.Replace(body(platform, platformKey, ticket), "component_appid", "Component_AppID", 1), 41018)
	f("unknown appid", body("wxnone", platformKey, ticket), 40013)
	f("an account's appid", body(own, platformKey, ticket), 61011)
	f("no secret", body(platform, "", ticket), 41004)
	f("secret under the other name", strings.Replace(body(platform, platformKey, ticket), "component_appsecret", "component_secret", 1), 41004)
	f("wrong secret", body(platform, "nonsense", ticket), 40125)
	f("unknown ticket", body(platform, platformKey, "ticket@@@x"), 61006)
	f("foreign ticket", body(platform, platformKey, foreign), 61006)
	w.ExpireTickets(platform)
	f("expired ticket", body(platform, platformKey, ticket), 61005)
	w.RefuseIP(platform, true)
	f("address not listed", body(platform, platformKey, w.NewTicket(platform)), 61004)
	code, _ := w.call(http.MethodGet, "/cgi-bin/component/api_component_token", "")
	w.wantCode("GET", code, 43002)
}

func TestStartPushTicket(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	f := func(what string, members map[string]any, want int) {
		t.Helper()
		code, _ := w.post("/cgi-bin/component/api_start_push_ticket", members)
		w.wantCode(what, code, want)
	}
	f("wrong field", map[string]any{"component_appid": platform, "component_appsecret": platformKey}, 41004)
	f("wrong secret", map[string]any{"component_appid": platform, "component_secret": "x"}, 40125)
	if w.TicketWanted(platform) {
		t.Error("a refused call asked for a ticket")
	}
	f("good", map[string]any{"component_appid": platform, "component_secret": platformKey}, 0)
	if !w.TicketWanted(platform) {
		t.Error("the call did not ask for a ticket")
	}
}

func TestAuthorizerToken_Refuses(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	w.AddAuthorizer(platform, "wxsecond")
	component := w.componentToken()
	f := func(what, appID, refresh string, want int) {
		t.Helper()
		code, _ := w.post("/cgi-bin/component/api_authorizer_token?access_token="+component, map[string]any{
			"component_appid": platform, "authorizer_appid": appID, "authorizer_refresh_token": refresh,
		})
		w.wantCode(what, code, want)
	}
	refresh := w.RefreshToken(platform, merchant)
	f("good", merchant, refresh, 0)
	f("no account", "", refresh, 41002)
	f("never authorised", "wxnone", refresh, 61003)
	f("another's", "wxsecond", refresh, 61023)
	f("unknown", merchant, "refreshtoken@@@x", 61023)
	f("empty", merchant, "", 41003)
	w.VoidRefreshToken(platform, merchant)
	f("void", merchant, refresh, 61023)
	w.RotateRefreshToken(platform, merchant)
	f("old", merchant, refresh, 61023)
	f("new", merchant, w.RefreshToken(platform, merchant), 0)
	f("old after new", merchant, refresh, 61023)
	w.Revoke(platform, merchant)
	f("revoked", merchant, w.RefreshToken(platform, merchant), 61003)
	want := []string{"an empty refresh token", "an old refresh token of " + merchant + " after a newer one was used"}
	if got := w.Violations(); !equal(got, want) {
		t.Errorf("violations %q, want %q", got, want)
	}
}

func equal(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func TestGate_Tokens(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	token := w.authorizerToken()
	f := func(what, query string, want int) {
		t.Helper()
		code, _ := w.call(http.MethodGet, "/cgi-bin/menu/get"+query, "")
		w.wantCode(what, code, want)
	}
	f("good", "?access_token="+token, 0)
	f("good among others", "?a=%2f&access_token="+token+"&b", 0)
	f("escaped name", "?access%5Ftoken="+token, 0)
	f("none", "", 41001)
	f("empty", "?access_token=", 41001)
	f("garbage", "?access_token=abc", 40014)
	f("odd characters", "?access_token="+strings.Repeat("é", 60), 40014)
	f("unknown", "?access_token="+strings.Repeat("a", 140), 40001)
	f("under the component's name", "?component_access_token="+token, 41001)
	w.noViolations()
	f("two", "?access_token="+token+"&access_token="+token, 61008)
	f("both names", "?access_token="+token+"&component_access_token="+token, 61008)
	req := request(http.MethodPost, "/cgi-bin/menu/get", "access_token="+token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, body := w.do(req)
	if !bytes.Contains(body, []byte("61008")) {
		t.Errorf("a token in the form: %s", body)
	}
	w.ExpireToken(merchant)
	f("expired", "?access_token="+token, 42001)
	token = w.authorizerToken()
	w.Displace(merchant)
	f("displaced", "?access_token="+token, 40001)
	token = w.authorizerToken()
	w.DisplaceAuthorizer(other, merchant)
	f("displaced for another component", "?access_token="+token, 0)
	w.DisplaceAuthorizer(platform, merchant)
	f("displaced for this one", "?access_token="+token, 40001)
	token = w.authorizerToken()
	w.Revoke(platform, merchant)
	f("revoked", "?access_token="+token, 61003)
	w.Authorize(platform, merchant)
	f("from before the new authorization", "?access_token="+token, 40001)
}

func TestList_Paging(t *testing.T) {
	const many = 100_000
	w := newWorld(t, wechattest.Options{})
	w.AddAuthorizers(platform, many-1)
	component := w.componentToken()
	page := func(offset, count int) (int, []any, float64) {
		t.Helper()
		code, m := w.post("/cgi-bin/component/api_get_authorizer_list?component_access_token="+component,
			map[string]any{"component_appid": platform, "offset": offset, "count": count})
		list, _ := m["list"].([]any)
		total, _ := m["total_count"].(float64)
		return code, list, total
	}
	code, _, _ := page(0, 501)
	w.wantCode("a page too long", code, 40170)
	seen := map[any]bool{}
	for offset := 0; ; offset += 500 {
		code, list, total := page(offset, 500)
		if code != 0 || total != many {
			t.Fatalf("offset %d: errcode %d, total %v", offset, code, total)
		}
		if len(list) == 0 {
			break
		}
		for _, item := range list {
			seen[item.(map[string]any)["authorizer_appid"]] = true
		}
	}
	if len(seen) != many {
		t.Errorf("the pages hold %d accounts, want %d", len(seen), many)
	}
	w.Revoke(platform, merchant)
	if _, _, total := page(0, 1); total != many-1 {
		t.Errorf("after a revocation the list counts %v", total)
	}
}

func TestUnlisted(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	w.Unlist(platform, merchant, true)
	component := w.componentToken()
	_, m := w.post("/cgi-bin/component/api_get_authorizer_list?component_access_token="+component,
		map[string]any{"component_appid": platform, "offset": 0, "count": 10})
	item := m["list"].([]any)[0].(map[string]any)
	if item["refresh_token"] != "" {
		t.Error("the list shows the refresh token")
	}
	code, m := w.post("/cgi-bin/component/api_get_authorizer_info?component_access_token="+component,
		map[string]any{"component_appid": platform, "authorizer_appid": merchant})
	info, _ := m["authorization_info"].(map[string]any)
	if code != 0 || info["authorizer_refresh_token"] != w.RefreshToken(platform, merchant) {
		t.Errorf("api_get_authorizer_info: errcode %d, %v", code, m)
	}
}

func TestMedia(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	token := w.authorizerToken()
	upload := func(field string) (int, map[string]any) {
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		part, _ := form.CreateFormFile(field, "a.jpg")
		_, _ = part.Write([]byte("\xff\xd8picture"))
		_ = form.Close()
		req := request(http.MethodPost, "/cgi-bin/media/upload?type=image&access_token="+token, b.String())
		req.Header.Set("Content-Type", form.FormDataContentType())
		_, body := w.do(req)
		return 0, map[string]any{"raw": string(body)}
	}
	_, m := upload("file")
	if !strings.Contains(m["raw"].(string), "41005") {
		t.Errorf("without a media part: %v", m)
	}
	_, m = upload("media")
	_, id, found := strings.Cut(m["raw"].(string), `"media_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	if !found {
		t.Fatalf("upload: %v", m)
	}
	resp, body := w.do(request(http.MethodGet, "/cgi-bin/media/get?access_token="+token+"&media_id="+id, ""))
	if string(body) != "\xff\xd8picture" || resp.Header.Get("Content-Disposition") != `attachment; filename="a.jpg"` {
		t.Errorf("download: %q, %v", body, resp.Header)
	}
	resp, body = w.do(request(http.MethodGet, "/cgi-bin/media/get?access_token="+token+"&media_id=none", ""))
	if !bytes.Contains(body, []byte("40007")) || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("an unknown media_id: %q, %v", body, resp.Header)
	}
	_, body = w.do(request(http.MethodGet, "/cgi-bin/media/get?access_token="+token+"&media_id="+wechattest.MediaOfSize(1000), ""))
	if len(body) != 1000 || body[252] != 1 {
		t.Errorf("sized download has %d bytes", len(body))
	}
	w.noViolations()
}

func TestGeneric_Bodies(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	target := "/wxa/release?access_token=" + w.authorizerToken()
	f := func(what, body string, want int) {
		t.Helper()
		code, _ := w.call(http.MethodPost, target, body)
		w.wantCode(what, code, want)
	}
	f("object", "{}", 0)
	f("empty", "", 44002)
	f("broken", `{"a":`, 47001)
	code, _ := w.call(http.MethodPost, strings.Replace(target, "/wxa/release", "/cgi-bin/message/custom/send", 1), `{"touser":"o1","msgtype":"text","text":{"content":"x"}}`)
	w.wantCode("message", code, 0)
	code, _ = w.call(http.MethodPost, strings.Replace(target, "/wxa/release", "/cgi-bin/message/custom/send", 1), `{"msgtype":"text"}`)
	w.wantCode("message to nobody", code, 40003)
}

// A body in chunks is answered 412 by whatever stands before WeChat, on a listener
// as in memory.
func TestRefusesChunks(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	listening := w.Start()
	t.Cleanup(w.Close)
	for url, client := range map[string]*http.Client{
		listening: http.DefaultClient, "https://api.weixin.qq.com": {Transport: w.Transport()},
	} {
		body := io.MultiReader(strings.NewReader(`{"action":"all"}`)) // hides the length
		resp, err := client.Post(url+"/cgi-bin/callback/check?access_token="+w.CurrentToken(own), "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("%s: status %d, want 412", url, resp.StatusCode)
		}
	}
	if v := w.Violations(); len(v) != 2 || !strings.Contains(v[0], "chunks") {
		t.Errorf("violations %q", v)
	}
}
