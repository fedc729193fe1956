package authorize_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestAuthorize_LinkOnAPhone(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.agent = phoneAgent
		link := b.open("?auth_type=5&biz_appid=wxb000000000000001&category_id_list=1|15")
		want := "https://open.weixin.qq.com/wxaopen/safe/bindcomponent?action=bindcomponent&no_scan=1&component_appid=" + component + "&pre_auth_code="
		if !strings.HasPrefix(link.String(), want) || link.Fragment != "wechat_redirect" {
			t.Errorf("the link is %s", link)
		}
		if !strings.Contains(link.RawQuery, "&auth_type=5&biz_appid=wxb000000000000001&category_id_list=1%7C15") {
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
		r.want(b.get(authorizePath+"?biz_appid=wxb000000000000001"), http.StatusOK, "Only the account wxb000000000000001")
	})
}

func TestAuthorize_BadRequests(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		for _, query := range []string{
			"auth_type=7", "auth_type=1&auth_type=2", "auth_type=%20", "biz_appid=a/b", "biz_appid=zz", "biz_appid=wxB000000000000001", "category_id_list=a", "category_id_list=" + strings.Repeat("1", 300),
			"state=" + strings.Repeat("x", 129), "state=%ff", "state=%0a", "state=%zz", "state=a&state=b", "a;b",
		} {
			r.want(b.get(authorizePath+"?"+query), http.StatusBadRequest, "This link is wrong")
		}
		for query, parameter := range map[string]string{"biz_appid=zz": "biz_appid", "state=a&state=b": "state", "auth_type=7": "auth_type", "state=%zz": ""} {
			r.want(b.get(authorizePath+"?"+query, "Accept", "application/json"), http.StatusBadRequest, `"error":"bad_request"`, `"parameter":"`+parameter+`"`)
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
