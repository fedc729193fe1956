package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The URLs of the file are those that messages and the check of the URL go to.
func TestControl_Messages(t *testing.T) {
	sidecar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if echo := r.FormValue("echostr"); echo != "" && r.URL.Path == "/own" {
			_, _ = io.WriteString(w, echo)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/own" && strings.Contains(string(body), "<![CDATA[hi]]>") {
			_, _ = io.WriteString(w, "<xml><ToUserName>oU</ToUserName><FromUserName>gh_0000000000aa</FromUserName>"+
				"<CreateTime>1</CreateTime><MsgType>text</MsgType><Content>hello</Content></xml>")
			return
		}
		_, _ = io.WriteString(w, "success")
	}))
	defer sidecar.Close()
	file := filepath.Join(t.TempDir(), "c.yaml")
	content := fmt.Sprintf("components:\n  - {appid: wxone, secret: s1, push_token: t, encoding_aes_key: %s, authorizers: 1,\n"+
		"     push_url: %[2]s/event, message_url: %[2]s/$APPID$, authorize_domain: 127.0.0.1}\n"+
		"accounts:\n  - {appid: wx00000000000000aa, secret: s, push_token: t, message_url: %[2]s/own}\n", strings.Repeat("a", 43), sidecar.URL)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "-config", file)
	s.want(200, `"content": "hello"`, "POST", "/control/message?appid=wx00000000000000aa", `{"FromUserName":"oU","Content":"hi"}`)
	s.want(200, `"reply": ""`, "POST", "/control/message?appid=wxa000000000000001", `{"Event":"subscribe"}`)
	s.want(400, "never authorised", "POST", "/control/message?appid=wxnone", `{"Content":"hi"}`)
	s.want(200, "ok", "POST", "/control/check-url?appid=wx00000000000000aa", "")
	s.want(400, "want an own account", "POST", "/control/check-url?appid=wxone", "")
	s.want(200, `"passed": false`, "POST", "/control/release-check", "")
	s.want(200, `"Err": "answered with \"success\" and the text \"\"`, "POST", "/control/release-check?pair=4&json=true", "")
	s.want(400, "want 0 to 4", "POST", "/control/release-check?pair=5", "")
	page := s.api + "/cgi-bin/componentloginpage?" + url.Values{"component_appid": {"wxone"}, "pre_auth_code": {"x"}}.Encode()
	if _, answer := s.do(http.MethodGet, page, ""); !strings.Contains(answer, "pre_auth_code is invalid") {
		t.Errorf("the page says %s", answer)
	}
}
