package wechattest_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// released is a platform that passes the release check, but for what the test spoils.
type released struct {
	t *testing.T
	w *world
	// each changes what is done, if it is set: the reply to a text, the answer to a code, the
	// customer message, and the account whose token sends it.
	reply, answer, message, sender func(string) string
	silent                         bool
	component                      string
}

func same(s string) string { return s }

func (p *released) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	plain, err := openPush(req.URL, body)
	if err != nil {
		return nil, err
	}
	var m struct{ ToUserName, FromUserName, InfoType, Content, Event string }
	if err := xml.Unmarshal(plain, &m); err != nil {
		return nil, err
	}
	answer := "success"
	code, isCode := strings.CutPrefix(m.Content, "QUERY_AUTH_CODE:")
	switch {
	case m.InfoType != "":
	case isCode:
		answer = p.answer("")
		appID := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
		p.send(p.sender(appID), code, m.FromUserName)
	case m.Event != "":
		answer = sealedReply(p.t, platform, textReply(m.FromUserName, m.ToUserName, p.reply(m.Event+"from_callback")))
	default:
		answer = sealedReply(p.t, platform, textReply(m.FromUserName, m.ToUserName, p.reply(m.Content+"_callback")))
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

// send exchanges the code and sends the customer message.
func (p *released) send(appID, code, user string) {
	if p.silent {
		return
	}
	_, m := p.w.post("/cgi-bin/component/api_query_auth?component_access_token="+p.component,
		map[string]any{"component_appid": platform, "authorization_code": code})
	token := p.w.must("authorizer_access_token", 0, m["authorization_info"].(map[string]any))
	if appID == merchant {
		token = p.w.authorizerToken()
	}
	status, _ := p.w.post("/cgi-bin/message/custom/send?access_token="+token, map[string]any{
		"touser": user, "msgtype": "text", "text": map[string]string{"content": p.message(code + "_from_api")},
	})
	p.w.wantCode("customer message", status, 0)
}

func TestCheckRelease(t *testing.T) {
	f := func(name, wantFailed, wantErr string, spoil func(*released)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := &released{t: t, reply: same, answer: same, message: same, sender: same}
			spoil(p)
			p.w = newWorld(t, wechattest.Options{Pusher: p})
			p.component = p.w.componentToken()
			steps, err := p.w.CheckRelease(t.Context(), wechattest.ReleaseCheck{Component: platform, Pair: 3})
			var failed []string
			for _, step := range steps {
				if step.Err != "" {
					failed = append(failed, step.Name)
				}
			}
			if got := strings.Join(failed, ", "); got != wantFailed || len(steps) != 6 {
				t.Errorf("%s: failed %q of %d steps, want %q", name, got, len(steps), wantFailed)
			}
			if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
				t.Errorf("%s: %v; want an error with %q", name, err, wantErr)
			}
			p.w.noViolations()
		})
	}
	const replies, codes = "text, event", "code of an official account, code of a mini program"
	f("good", "", "", func(*released) {})
	f("another text", replies, "hello", func(p *released) { p.reply = func(string) string { return "hello" } })
	f("success for a code", codes, `"success", not with an empty string`, func(p *released) { p.answer = func(string) string { return "success" } })
	f("another message", codes, "hello", func(p *released) { p.message = func(string) string { return "hello" } })
	f("no message", codes, "no customer message", func(p *released) { p.silent = true })
	f("another account's token", codes, "with a token of "+merchant, func(p *released) { p.sender = func(string) string { return merchant } })
}
