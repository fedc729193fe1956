package authorize_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

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

func TestAuthorize_LinkOnAPhone(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.agent = phoneAgent
		link := b.open("?auth_type=5&biz_appid=wxb1&category_id_list=1|15")
		want := "https://open.weixin.qq.com/wxaopen/safe/bindcomponent?action=bindcomponent&no_scan=1&component_appid=" + component + "&pre_auth_code="
		if !strings.HasPrefix(link.String(), want) || link.Fragment != "wechat_redirect" {
			t.Errorf("the link is %s", link)
		}
		if !strings.Contains(link.RawQuery, "&auth_type=5&biz_appid=wxb1&category_id_list=1%7C15") {
			t.Errorf("the link's query is %s", link.RawQuery)
		}
	})
}

func TestAuthorize_Pages(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		page := b.get(authorizePath, "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")
		r.want(page, http.StatusOK, `<html lang="zh-CN">`, "授权您的公众号或小程序", "前往微信授权", "<svg", "授权链接 9 分钟内有效", component)
		b.agent = phoneAgent
		if page := b.get(authorizePath); strings.Contains(page.Body.String(), "<svg") {
			t.Error("WeChat on a phone is shown a code to scan with itself")
		}
		b.agent = strings.Replace(phoneAgent, "MicroMessenger/8.0.50", "", 1)
		r.want(b.get(authorizePath), http.StatusOK, "Open this page in WeChat", "<svg")
		r.want(b.get(authorizePath+"?biz_appid=wxb1"), http.StatusOK, "Only the account wxb1")
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

// A change of the seal key, or another replica, costs no visit.
func TestAuthorized_KeyChanges(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		first, second := b.open(""), b.open("")
		land := func(link *url.URL, status int, keys ...string) {
			t.Helper()
			o := authorize.Options{Broker: r.broker, PublicURL: publicURL}
			for _, k := range keys {
				o.Keys = append(o.Keys, []byte(k))
			}
			var err error
			if r.pages, err = authorize.New(o); err != nil {
				t.Fatal(err)
			}
			r.want(b.get(r.redirected(link, r.sim.Authorize(component, merchant))), status)
		}
		land(first, http.StatusOK, "new", "old")
		land(second, http.StatusForbidden, "new", "other")
		land(second, http.StatusOK, "old")
	}, func(o *authorize.Options) { o.Keys = [][]byte{[]byte("old")} })
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

func TestAuthorize_BadRequests(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		for _, query := range []string{
			"auth_type=7", "auth_type=1&auth_type=2", "auth_type=%20", "biz_appid=a/b", "category_id_list=a", "category_id_list=" + strings.Repeat("1", 300),
			"state=" + strings.Repeat("x", 129), "state=%ff", "state=%0a", "state=%zz", "state=a&state=b", "a;b",
		} {
			r.want(b.get(authorizePath+"?"+query), http.StatusBadRequest, "This link is wrong")
		}
		if n := r.sim.Calls(preAuthPath); n != 0 {
			t.Errorf("they cost %d pre_auth_codes", n)
		}
		r.want(b.get(authorizePath+"?utm_source=x"), http.StatusOK)
	})
}

func TestAuthorize_WeChatFails(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.open("") // until it has a token
		f := func(fault wechattest.Fault, status int, text string) {
			t.Helper()
			r.sim.Fault(preAuthPath, fault)
			w := b.get(authorizePath)
			r.want(w, status, text)
			if (w.Header().Get("Retry-After") != "") != (status == http.StatusServiceUnavailable) {
				t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
			}
			r.sim.ClearFaults()
			time.Sleep(time.Minute)
		}
		f(wechattest.Fault{Errcode: 48001}, http.StatusBadGateway, "WeChat’s errcode 48001")
		f(wechattest.Fault{Errcode: 45009}, http.StatusServiceUnavailable, "Not possible right now")
		f(wechattest.Fault{Mode: wechattest.Refuse}, http.StatusServiceUnavailable, "Not possible right now")
		f(wechattest.Fault{Mode: wechattest.HTML}, http.StatusServiceUnavailable, "Not possible right now")
	})
}

func TestAuthorize_WaitingForATicket(t *testing.T) {
	inBareRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		w := b.get(authorizePath, "Accept-Language", "zh")
		r.want(w, http.StatusServiceUnavailable, "暂时不能授权", "再试一次")
		if w.Header().Get("Retry-After") == "" || len(b.cookies) != 0 {
			t.Errorf("Retry-After %q, cookies %v", w.Header().Get("Retry-After"), b.cookies)
		}
		r.ticket()
		b.open("")
	})
}

func TestPages_UnknownComponent(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.want(r.browser().get("/wechat/wxother/authorize"), http.StatusNotFound, "no such platform")
	})
}

// A code that somebody plants is refused, whatever of a visit he has.
func TestAuthorized_PlantedCodes(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		attacker, victim := r.browser(), r.browser()
		theirs, mine := attacker.open(""), victim.open("")
		code := r.sim.Authorize(component, merchant)
		refused := func(b *browser, target, text string) {
			t.Helper()
			r.want(b.get(target), http.StatusForbidden, text)
		}
		const foreign = "This may not be your"
		path := "/wechat/" + component + "/authorized"
		refused(victim, r.redirected(theirs, code), foreign)
		refused(victim, path+"?auth_code="+code, foreign)
		refused(victim, path+"?state=&auth_code="+code, foreign)
		refused(victim, path+"?state=AAAA&auth_code="+code, foreign)
		refused(victim, strings.Replace(r.redirected(mine, code), component, "wx7f00c0de00000002", 1), foreign)
		refused(r.browser(), r.redirected(mine, code), foreign) // no cookie
		if n := r.sim.Calls(queryAuthPath); n != 0 {
			t.Errorf("%d exchanges, want none", n)
		}
		r.want(victim.get(r.redirected(mine, code)), http.StatusOK, merchant)
		refused(victim, r.redirected(mine, r.sim.Authorize(component, "wxa000000000000002")), "This link was used before")
	})
}

// Every bit of a state counts.
func TestAuthorized_ChangedStates(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("?state=s")
		back, err := url.Parse(link.Query().Get("redirect_uri"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(back.Query().Get("state"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			raw[i] ^= 1
			state := base64.RawURLEncoding.EncodeToString(raw)
			r.want(b.get(back.Path+"?auth_code=x&state="+state), http.StatusForbidden, "This may not be your")
			raw[i] ^= 1
		}
		r.want(b.get(back.Path+"?auth_code=x&state="+base64.RawURLEncoding.EncodeToString(raw)), http.StatusBadRequest)
	})
}

func TestAuthorized_Failures(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		f := func(code string, status int, text string) {
			t.Helper()
			w := b.get(r.redirected(b.open("?auth_type=1&state=s%26"), code))
			r.want(w, status, text)
			if !strings.Contains(w.Body.String(), `href="authorize?auth_type=1&amp;state=s%26"`) {
				t.Errorf("one cannot begin again with the same request:\n%s", w.Body)
			}
			time.Sleep(time.Minute)
		}
		f("", http.StatusBadRequest, "Nothing was authorised")
		f("a b", http.StatusBadRequest, "Nothing was authorised")
		f(strings.Repeat("x", 4000), http.StatusBadRequest, "Nothing was authorised")
		f("queryauthcode@@@wrong", http.StatusBadRequest, "The code has run out")
		link := b.open("")
		r.want(b.get(r.redirected(link, "x")+"&auth_code=y"), http.StatusBadRequest, "This link is wrong")
		r.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61007, Times: 1})
		f("queryauthcode@@@any", http.StatusBadGateway, "61007")
		r.sim.Fault(queryAuthPath, wechattest.Fault{Mode: wechattest.Refuse, Times: 1})
		code, back := r.sim.Authorize(component, merchant), ""
		link = b.open("")
		back = r.redirected(link, code)
		r.want(b.get(back), http.StatusServiceUnavailable, "Try again")
		r.want(b.get(back), http.StatusOK, merchant)
		late := b.open("")
		time.Sleep(21 * time.Minute)
		r.want(b.get(r.redirected(late, r.sim.Authorize(component, merchant))), http.StatusForbidden, "That took too long")
	})
}

// What a merchant lacks is said.
func TestAuthorized_Rights(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("")
		code := r.sim.Authorize(component, merchant)
		r.sim.SetProfile(component, merchant, wechattest.Profile{NickName: "店", MiniProgram: true, NoAPI: true, FuncInfo: []int{}})
		r.sim.Fault(infoPath, wechattest.Fault{Errcode: -1, Times: 1})
		back := r.redirected(link, code)
		w := b.get(back)
		r.want(w, http.StatusOK, merchant, "No permissions were granted", "may not call APIs")
		if strings.Contains(w.Body.String(), "<img") {
			t.Error("a picture where WeChat told of none")
		}
		r.want(b.get(back, "Accept-Language", "zh"), http.StatusOK, "店", "小程序", "没有接口权限")
	})
}

// A page shows pictures of WeChat's alone, and by https.
func TestAuthorized_Pictures(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		back := r.redirected(b.open(""), r.sim.Authorize(component, merchant))
		f := func(picture, want string) {
			t.Helper()
			r.sim.ClearFaults()
			r.sim.Fault(infoPath, wechattest.Fault{Body: `{"authorizer_info":{"nick_name":"n","head_img":"` + picture + `"},"authorization_info":{}}`})
			w := b.get(back)
			r.want(w, http.StatusOK, "“n” has authorised")
			m := regexp.MustCompile(`<img src="([^"]*)"`).FindStringSubmatch(w.Body.String())
			csp := w.Header().Get("Content-Security-Policy")
			switch {
			case want == "":
				if m != nil || strings.Contains(csp, "img-src") {
					t.Errorf("%s: shown as %q under %s", picture, m, csp)
				}
			case m == nil || m[1] != want || !strings.HasSuffix(csp, "; img-src https://wx.qlogo.cn"):
				t.Errorf("%s: shown as %q under %s", picture, m, csp)
			}
		}
		f("http://wx.qlogo.cn/mmopen/a/0", "https://wx.qlogo.cn/mmopen/a/0")
		f("https://wx.qlogo.cn/mmopen/a/0", "https://wx.qlogo.cn/mmopen/a/0")
		f("https://evil.example/0", "")
		f("https://evilqlogo.cn/0", "")
		f("https://wx.qlogo.cn:8443/0", "")
		f("https://u@wx.qlogo.cn/0", "")
		f("https://a';script-src%20*;.qlogo.cn/0", "")
		f("https://a%3B.qlogo.cn/0", "")
		f("javascript:alert(1)//.qlogo.cn", "")
		f("", "")
	})
}

func TestLimits(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		for range 10 {
			b.open("")
		}
		w := b.get(authorizePath)
		r.want(w, http.StatusTooManyRequests, "Opened too often")
		if got := w.Header().Get("Retry-After"); got != "10" {
			t.Errorf("Retry-After: %s, want 10", got)
		}
		other := r.browser()
		other.address = "[2001:db8::1]:1"
		for range 10 {
			other.open("")
		}
		other.address = "[2001:db8::ffff]:1" // the same network
		r.want(other.get(authorizePath), http.StatusTooManyRequests)
		r.want(b.get(authorizePath, "X-Forwarded-For", "198.51.100.1"), http.StatusTooManyRequests)
		time.Sleep(10 * time.Second)
		b.open("")
		r.want(b.get(authorizePath), http.StatusTooManyRequests)
	})
}

// Visitors from ever new addresses stop at the component's limit.
func TestLimits_OfTheComponent(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.accept = "application/json"
		served := 0
		for i := range 300 {
			w := b.get(authorizePath, "X-Forwarded-For", "198.51.100.9, 10.0."+string(rune('0'+i%10))+"."+string(rune('0'+i/100))+string(rune('0'+i/10%10)))
			if w.Code == http.StatusOK {
				served++
			} else if got := r.jsonOf(w); w.Code != http.StatusTooManyRequests || got["error"] != "too_many_visits" {
				t.Fatalf("%d %v", w.Code, got)
			}
		}
		if served != 120 || r.sim.Calls(preAuthPath) != 120 {
			t.Errorf("%d pages served with %d pre_auth_codes, want 120", served, r.sim.Calls(preAuthPath))
		}
		time.Sleep(5 * time.Second)
		r.want(b.get(authorizePath, "X-Forwarded-For", "192.0.2.1"), http.StatusOK)
	}, func(o *authorize.Options) { o.ForwardedFor = true })
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
		if got := r.jsonOf(r.browser2(b).get(r.redirected(link, "x"))); got["error"] != "foreign_visit" || got["message"] == "" {
			t.Errorf("a stranger got %v", got)
		}
		got = r.jsonOf(b.get(r.redirected(link, r.sim.Authorize(component, merchant))))
		if got["appid"] != merchant || got["state"] != "s&" || got["api"] != true || len(got["func_info"].([]any)) != 4 || got["name"] == "" || got["landing_url"] != "" {
			t.Errorf("%v", got)
		}
	})
}

// browser2 is another browser like b, without its cookies.
func (r *rig) browser2(b *browser) *browser {
	other := r.browser()
	other.accept = b.accept
	return other
}

// The landing URL gets who has authorised, signed; and nothing else decides where a
// browser goes.
func TestLanding(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("?state=a.b%26&landing_url=https://evil.example")
		back := r.redirected(link, r.sim.Authorize(component, merchant))
		w := b.get(back + "&landing_url=https://evil.example&redirect_uri=https://evil.example")
		r.want(w, http.StatusSeeOther)
		landing, err := url.Parse(w.Header().Get("Location"))
		if err != nil || landing.Scheme+"://"+landing.Host+landing.Path != "https://app.example/welcome" || w.Header().Get("Referrer-Policy") != "origin" {
			t.Fatalf("it goes to %s, %v", landing, err)
		}
		q := landing.Query()
		h := hmac.New(sha256.New, []byte("landing-s3cr3t"))
		h.Write([]byte(component + "." + merchant + "." + q.Get("timestamp") + ".a.b&"))
		if q.Get("from") != "wx" || q.Get("appid") != merchant || q.Get("component_appid") != component || q.Get("state") != "a.b&" || q.Get("signature") != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("its query is %v", q)
		}
		if q.Has("auth_code") || strings.Contains(r.log.String(), "s3cr3t") {
			t.Error("it shows the code, or the log the secret")
		}
		b.accept = "application/json"
		if got := r.jsonOf(b.get(back)); !strings.HasPrefix(got["landing_url"].(string), "https://app.example/welcome?from=wx&") {
			t.Errorf("%v", got)
		}
	}, func(o *authorize.Options) {
		o.LandingURL, o.LandingSecret = "https://app.example/welcome?from=wx", secret.New("landing-s3cr3t")
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
