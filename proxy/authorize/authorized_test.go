package authorize_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

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

// Of codes that come at once with one state, one is exchanged.
func TestAuthorized_CodesAtOnce(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		link := b.open("")
		var targets []string
		for i := range 8 {
			targets = append(targets, r.redirected(link, r.sim.Authorize(component, fmt.Sprintf("wxa%015x", i))))
		}
		var taken, refused atomic.Int32
		var all sync.WaitGroup
		for _, target := range targets {
			one := r.browser()
			one.cookies = maps.Clone(b.cookies)
			all.Go(func() {
				switch w := one.get(target); w.Code {
				case http.StatusOK:
					taken.Add(1)
				case http.StatusForbidden:
					refused.Add(1)
				default:
					t.Errorf("status %d", w.Code)
				}
			})
		}
		all.Wait()
		if taken.Load() != 1 || refused.Load() != 7 || r.sim.Calls(queryAuthPath) != 1 {
			t.Errorf("%d taken, %d refused, %d exchanges", taken.Load(), refused.Load(), r.sim.Calls(queryAuthPath))
		}
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
		r.want(b.get(r.redirected(b.open(""), "x")+"&auth_code=y"), http.StatusBadRequest, "This link is wrong")
		r.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61007, Times: 1})
		f("queryauthcode@@@any", http.StatusBadGateway, "61007")
		r.sim.Fault(queryAuthPath, wechattest.Fault{Mode: wechattest.Refuse, Times: 1})
		back := r.redirected(b.open(""), r.sim.Authorize(component, merchant))
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
