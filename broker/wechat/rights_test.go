package wechat_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

func TestReadExchange_Rights(t *testing.T) {
	f := func(funcInfo string, want ...wechat.Right) {
		t.Helper()
		x, err := wechat.ReadExchange([]byte(`{"authorization_info":{"authorizer_appid":"wxa","func_info":` + funcInfo + `}}`))
		if err != nil {
			t.Errorf("%s: %v", funcInfo, err)
		}
		if d := cmp.Diff(want, x.Authorizer.Rights); d != "" {
			t.Errorf("%s (-want +got):\n%s", funcInfo, d)
		}
	}
	f(`[]`)
	f(`null`)
	f(`{"funcscope_category":{"id":1}}`)
	f(`[{"funcscope_category":{"id":1}},{"funcscope_category":{"id":"15"}}]`, wechat.Right{ID: 1}, wechat.Right{ID: 15})
	f(`[{"funcscope_category":{"id":1,"type":0,"name":"消息管理","desc":"x"}}]`, wechat.Right{ID: 1, Name: "消息管理"})
	f(`[{"funcscope_category":{"id":2},"confirm_info":{"need_confirm":1,"already_confirm":0,"can_confirm":0}}]`, wechat.Right{ID: 2, Unconfirmed: true})
	f(`[{"funcscope_category":{"id":2},"confirm_info":{"need_confirm":1,"already_confirm":1}}]`, wechat.Right{ID: 2})
	f(`[7,null,{},{"funcscope_category":[]},{"funcscope_category":{"id":3}}]`, wechat.Right{ID: 3})
}

func TestReadExchange_Refused(t *testing.T) {
	for _, answer := range []string{``, `[]`, `{"errcode":61010,"errmsg":"code is expired"}`, `{"authorization_info":{}}`, `{"authorization_info":{"authorizer_appid":"a/b"}}`} {
		if x, err := wechat.ReadExchange([]byte(answer)); err == nil {
			t.Errorf("%s: read as %+v", answer, x.Authorizer)
		}
	}
}
