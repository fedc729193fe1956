package wechattest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// openPush returns the plain text of what the platform was sent.
func openPush(u *url.URL, body []byte) ([]byte, error) {
	encrypt, err := msgcrypt.ParseEnvelope(body)
	if err != nil {
		return nil, err
	}
	codec, err := msgcrypt.New("push-token-1", aesKey, platform)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	return codec.Open(q.Get("msg_signature"), q.Get("timestamp"), q.Get("nonce"), encrypt)
}

// receiver is the push side of a sidecar: it opens what comes and answers what
// the test wants, in memory.
type receiver struct {
	mu      sync.Mutex
	answers []string // status 200; "500" is a status, "error" none at all
	opened  []string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	plain, err := openPush(req.URL, body)
	if err != nil {
		return nil, err
	}
	r.opened = append(r.opened, string(plain))
	return r.next()
}

func (r *receiver) next() (*http.Response, error) {
	answer := "success"
	if len(r.answers) > 0 {
		answer, r.answers = r.answers[0], r.answers[1:]
	}
	status := http.StatusOK
	switch answer {
	case "error":
		return nil, errors.New("connection refused")
	case "500":
		status = http.StatusInternalServerError
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func TestPush_Tries(t *testing.T) {
	f := func(wantTries int, wantErr bool, answers ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{answers: answers}
			w := newWorld(t, wechattest.Options{Pusher: r})
			start := time.Now()
			err := w.PushTicket(context.Background(), platform)
			if (err != nil) != wantErr || len(r.opened) != wantTries {
				t.Errorf("%q: error %v after %d tries", answers, err, len(r.opened))
			}
			if pause := time.Since(start); pause != time.Duration(wantTries-1)*5*time.Second {
				t.Errorf("%q: the tries took %v", answers, pause)
			}
			for _, plain := range r.opened {
				if plain != r.opened[0] {
					t.Errorf("a repeat differs: %s", plain)
				}
			}
			if got := w.Pushes(); len(got) != 1 || got[0].Tries != wantTries || (got[0].Err != "") != wantErr {
				t.Errorf("records %+v", got)
			}
		})
	}
	f(1, false, "success")
	f(2, false, "error", "success")
	f(3, false, "500", "", "success")
	f(3, true, "success\n", "SUCCESS", "<xml>success</xml>")
}

func TestPush_Events(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		w := newWorld(t, wechattest.Options{Pusher: r})
		code := w.Authorize(platform, "wxnew")
		f := func(e wechattest.Event, parts ...string) {
			t.Helper()
			if err := w.Push(context.Background(), platform, e); err != nil {
				t.Fatal(err)
			}
			last := r.opened[len(r.opened)-1]
			parts = append(parts, "<AppId><![CDATA["+platform+"]]></AppId>", "<CreateTime>946684800</CreateTime>",
				"<InfoType><![CDATA["+e.InfoType+"]]></InfoType>")
			for _, part := range parts {
				if !strings.Contains(last, part) {
					t.Errorf("%s: %s has no %s", e.InfoType, last, part)
				}
			}
		}
		f(wechattest.Event{InfoType: wechattest.InfoTicket, Ticket: "t"}, "<ComponentVerifyTicket><![CDATA[t]]></ComponentVerifyTicket>")
		f(w.AuthorizedEvent("wxnew", code, false), "<AuthorizerAppid><![CDATA[wxnew]]></AuthorizerAppid>",
			"<AuthorizationCode><![CDATA["+code+"]]></AuthorizationCode>",
			"<AuthorizationCodeExpiredTime>946685400</AuthorizationCodeExpiredTime>", "<PreAuthCode>")
		f(wechattest.Event{InfoType: wechattest.InfoUnauthorized, AuthorizerAppID: "wxnew"}, "wxnew")
		f(wechattest.Event{InfoType: wechattest.InfoFastRegister, NewAppID: "wxmp", AuthCode: "c", Extra: "<x/>"},
			"<appid><![CDATA[wxmp]]></appid>", "<status>0</status>", "<auth_code><![CDATA[c]]></auth_code>", "<x/>")
		if w.AuthorizedEvent("wxnew", code, true).InfoType != wechattest.InfoUpdateAuthorized {
			t.Error("a renewed authorization is not updateauthorized")
		}
	})
}

func TestRunPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		w := newWorld(t, wechattest.Options{Pusher: r})
		count := func() int {
			synctest.Wait()
			return len(w.Pushes())
		}
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		group.Go(func() { w.RunPushes(ctx) })
		if got := count(); got != 1 {
			t.Errorf("%d pushes at once, want 1", got)
		}
		time.Sleep(time.Hour + time.Second)
		if got := count(); got != 7 {
			t.Errorf("%d pushes after an hour, want 7", got)
		}
		w.StopPushing(platform)
		time.Sleep(time.Hour)
		if got := count(); got != 7 {
			t.Errorf("%d pushes after another hour of silence, want 7", got)
		}
		code, _ := w.post("/cgi-bin/component/api_start_push_ticket", map[string]any{"component_appid": platform, "component_secret": platformKey})
		w.wantCode("api_start_push_ticket", code, 0)
		if got := count(); got != 8 || w.TicketWanted(platform) {
			t.Errorf("%d pushes after asking, want 8", got)
		}
		cancel()
		group.Wait()
	})
}

func TestSNS(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	component := w.componentToken()
	f := func(what, target string, want int) map[string]any {
		t.Helper()
		code, m := w.call(http.MethodGet, target, "")
		w.wantCode(what, code, want)
		return m
	}
	behalf := "&appid=" + merchant + "&component_appid=" + platform + "&component_access_token=" + component
	session := "/sns/component/jscode2session?grant_type=authorization_code" + behalf
	js := w.LoginCode(merchant)
	f("session", session+"&js_code="+js, 0)
	f("code used", session+"&js_code="+js, 40163)
	if m := f("code unknown", session+"&js_code=x", 40029); m["errcode"] != "40029" {
		t.Errorf("errcode is %v, want a string", m["errcode"])
	}
	f("not authorised", strings.Replace(session, merchant, "wxnone", 1)+"&js_code=x", 61003)
	f("token under the other name", strings.Replace(session, "component_access_token", "access_token", 1), 41001)
	f("own session", "/sns/jscode2session?grant_type=authorization_code&appid="+own+"&secret="+ownKey+"&js_code="+w.LoginCode(own), 0)
	f("own session, wrong secret", "/sns/jscode2session?grant_type=authorization_code&appid="+own+"&secret=x&js_code=x", 40125)
	m := f("user token", "/sns/oauth2/component/access_token?grant_type=authorization_code"+behalf+"&code="+w.LoginCode(merchant), 0)
	user, openID := m["access_token"].(string), m["openid"].(string)
	f("userinfo", "/sns/userinfo?access_token="+user+"&openid="+openID, 0)
	f("userinfo of another", "/sns/userinfo?access_token="+user+"&openid=o", 40003)
	f("auth", "/sns/auth?access_token="+user+"&openid="+openID, 0)
	f("refresh", "/sns/oauth2/component/refresh_token?grant_type=refresh_token"+behalf+"&refresh_token="+m["refresh_token"].(string), 0)
	f("refresh with the access token", "/sns/oauth2/component/refresh_token?grant_type=refresh_token"+behalf+"&refresh_token="+user, 40030)
	f("ticket", "/cgi-bin/ticket/getticket?type=jsapi&access_token="+w.authorizerToken(), 0)
	f("ticket of no sort", "/cgi-bin/ticket/getticket?type=x&access_token="+w.authorizerToken(), 40097)
	w.noViolations()
}

func TestPlainAccounts_Refuse(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	f := func(what, query string, want int) {
		t.Helper()
		code, _ := w.call(http.MethodGet, "/cgi-bin/token?grant_type=client_credential"+query, "")
		w.wantCode(what, code, want)
	}
	f("no appid", "", 41002)
	f("no secret", "&appid="+own, 41004)
	f("wrong secret", "&appid="+own+"&secret=x", 40125)
	f("unknown", "&appid=wxnone&secret=x", 40013)
	f("a component", "&appid="+platform+"&secret="+platformKey, 61024)
	f("an authorizer", "&appid="+merchant+"&secret=x", 40125)
	code, _ := w.post("/cgi-bin/stable_token", map[string]any{"grant_type": "client_credential", "appid": platform, "secret": platformKey})
	w.wantCode("a stable token for a component", code, 61024)
	code, _ = w.call(http.MethodGet, "/cgi-bin/stable_token", "")
	w.wantCode("a stable token by GET", code, 43002)
	w.RefuseIP(own, true)
	f("address not listed", "&appid="+own+"&secret="+ownKey, 40164)
}
