package authorize_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

// The whole way: page, WeChat, landing; then the account can be called.
func TestPages_AMerchantAuthorises(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("?auth_type=1&state=order-17")
		if link.Scheme+"://"+link.Host+link.Path != "https://mp.weixin.qq.com/cgi-bin/componentloginpage" {
			t.Errorf("the link leads to %s", link)
		}
		q := link.Query()
		if q.Get("component_appid") != component || q.Get("auth_type") != "1" || !strings.HasPrefix(q.Get("pre_auth_code"), "preauthcode@@@") ||
			!strings.HasPrefix(q.Get("redirect_uri"), publicURL+"/wechat/"+component+"/authorized?state=") {
			t.Errorf("the link's parameters are %v", q)
		}
		code := r.sim.Authorize(component, merchant)
		r.sim.SetProfile(component, merchant, wechattest.Profile{NickName: "<b>Tea & Co</b>", FuncInfo: []int{1, 15, 999}})
		back := r.redirected(link, code)
		landed := b.get(back)
		r.want(landed, http.StatusOK, "<b>Tea & Co</b>", merchant, "Messages", "Custom menus", "#999", "https://wx.qlogo.cn/mmopen/")
		if strings.Contains(landed.Body.String(), "<b>") {
			t.Error("a merchant's name is markup")
		}
		account, err := r.broker.Account(t.Context(), merchant, broker.Choice{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.broker.Token(t.Context(), account.Key()); err != nil {
			t.Errorf("the authorizer's token: %v", err)
		}
		r.want(b.get(back), http.StatusOK, merchant) // people load pages again
		if n := r.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("%d exchanges, want one", n)
		}
	})
}

func TestPages_Languages(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		f := func(accept, want string) {
			t.Helper()
			w := r.browser().get(authorizePath+"?auth_type=7", "Accept-Language", accept)
			if got := w.Header().Get("Content-Language"); got != want || !strings.Contains(w.Body.String(), `<html lang="`+want+`">`) {
				t.Errorf("%q: in %s, want %s", accept, got, want)
			}
		}
		f("", "en")
		f("fr", "en")
		f("ZH-tw", "zh-CN")
		f("en;q=0.5, zh;q=0.9", "zh-CN")
		f("zh;q=0.1,en", "en")
		f("fr, zh;q=0.2", "zh-CN")
		f("zh;q=0", "en")
		f("zh;q=x, en;q=nan", "en")
		f("zh,en", "zh-CN")
		f("en,zh", "en")
	})
}

// What a page may do is bound by its headers.
func TestPages_Headers(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		page := b.get(authorizePath)
		h := page.Header()
		_, style, _ := strings.Cut(page.Body.String(), "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		sum := sha256.Sum256([]byte(style))
		csp := "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		for name, want := range map[string]string{
			"Content-Security-Policy": csp, "Referrer-Policy": "origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s, want %s", name, h.Get(name), want)
			}
		}
		if m := regexp.MustCompile(`(?i)<script|style=|\son\w+=`).FindString(page.Body.String()); m != "" {
			t.Errorf("the page has %q, which its policy forbids", m)
		}
		c := b.cookies["__Host-wxsidecar-visit"]
		if c == nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) != 22 {
			t.Errorf("the cookie is %+v", c)
		}
	})
}

func TestPages_HeadCostsNothing(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("")
		code := r.sim.Authorize(component, merchant)
		r.want(b.ask(http.MethodHead, authorizePath), http.StatusOK)
		r.want(b.ask(http.MethodHead, r.redirected(link, code)), http.StatusOK)
		if n, m := r.sim.Calls(preAuthPath), r.sim.Calls(queryAuthPath); n != 1 || m != 0 {
			t.Errorf("%d pre_auth_codes and %d exchanges, want 1 and 0", n, m)
		}
	})
}

// Each visit is counted once, and what was refused has a line in the log.
func TestPages_Counted(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		r.want(b.get(authorizePath+"?auth_type=7"), http.StatusBadRequest)
		back := r.redirected(b.open(""), r.sim.Authorize(component, merchant))
		r.want(r.browser().get(back), http.StatusForbidden)
		r.want(b.get(back), http.StatusOK)
		b.ask(http.MethodHead, authorizePath)
		b.ask(http.MethodHead, back)
		w := httptest.NewRecorder()
		r.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		got := regexp.MustCompile(`(?m)^wxsidecar_authorization_pages_total.* [1-9].*$`).FindAllString(w.Body.String(), -1)
		want := []string{
			`wxsidecar_authorization_pages_total{page="authorize",result="bad_request"} 1`,
			`wxsidecar_authorization_pages_total{page="authorize",result="ok"} 1`,
			`wxsidecar_authorization_pages_total{page="authorized",result="foreign_visit"} 1`,
			`wxsidecar_authorization_pages_total{page="authorized",result="ok"} 1`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("counted %q", got)
		}
		if n := strings.Count(r.log.String(), "authorization page not served"); n != 2 {
			t.Errorf("%d lines in the log say that a page was not served, want 2:\n%s", n, r.log)
		}
	})
}

func TestPages_UnknownComponent(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.want(r.browser().get("/wechat/wxother/authorize"), http.StatusNotFound, "no such platform")
	})
}

func TestPages_JSON(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.accept = "application/json"
		got := r.jsonOf(b.get(authorizePath + "?state=s%26"))
		if got["component_appid"] != component || got["expires_in"] != 600.0 || got["authorize_url"] != got["pc_url"] ||
			got["page_url"] != publicURL+authorizePath+"?auth_type=3&state=s%26" || !strings.Contains(got["phone_url"].(string), "/wxaopen/safe/bindcomponent?") {
			t.Errorf("%v", got)
		}
		link, err := url.Parse(got["authorize_url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		stranger := r.browser()
		stranger.accept = b.accept
		if got := r.jsonOf(stranger.get(r.redirected(link, "x"))); got["error"] != "foreign_visit" || got["message"] == "" {
			t.Errorf("a stranger got %v", got)
		}
		got = r.jsonOf(b.get(r.redirected(link, r.sim.Authorize(component, merchant))))
		if got["appid"] != merchant || got["state"] != "s&" || got["api"] != true || len(got["func_info"].([]any)) != 4 || got["name"] == "" || got["landing_url"] != "" {
			t.Errorf("%v", got)
		}
	})
}

func TestPages_PlainHTTPForTrials(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("")
		if !strings.HasPrefix(link.String(), "http://127.0.0.1:9/cgi-bin/componentloginpage?") || !strings.Contains(link.Query().Get("redirect_uri"), "http://127.0.0.1:7081/base/wechat/") {
			t.Errorf("the link is %s", link)
		}
		if c := b.cookies["wxsidecar-visit"]; c == nil || c.Secure || !c.HttpOnly {
			t.Errorf("the cookie is %+v", c)
		}
	}, func(o *authorize.Options) {
		o.PublicURL, o.LoginURL = "http://127.0.0.1:7081/base/", "http://127.0.0.1:9/"
	})
}

func TestNew_Faults(t *testing.T) {
	good := authorize.Options{Broker: &broker.Broker{}, PublicURL: publicURL, Keys: [][]byte{{1}}}
	f := func(want string, change func(*authorize.Options)) {
		t.Helper()
		o := good
		change(&o)
		if _, err := authorize.New(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%v; want an error that says %q", err, want)
		}
	}
	f("Broker", func(o *authorize.Options) { o.Broker = nil })
	f("Keys", func(o *authorize.Options) { o.Keys = nil })
	f("PublicURL", func(o *authorize.Options) { o.PublicURL = "" })
	f("PublicURL", func(o *authorize.Options) { o.PublicURL = "https://h/?s3cr3t" })
	f("LoginURL", func(o *authorize.Options) { o.LoginURL = "ftp://h" })
	f("need each other", func(o *authorize.Options) { o.LandingURL = "https://h" })
	f("need each other", func(o *authorize.Options) { o.LandingSecret = secret.New("s3cr3t") })
}
