package sdk

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// TestMessages has the code by which other SDKs encrypt and decrypt push messages to the
// sidecar and read its replies, as WeChat would.
func TestMessages(t *testing.T) {
	s := startSidecar(t, programtest.Build(t), "events: [{url: "+newMessageApp(t)+"}]")
	goPush := buildGo(t, "./messages")
	node, dir := programtest.Need(t, "node", "nodejs"), programtest.NodeModules(t, "node")
	msgID := int64(0)
	for name, program := range map[string]func() *exec.Cmd{
		"silenceper":    func() *exec.Cmd { return exec.Command(goPush, "push") },
		"wechat-crypto": func() *exec.Cmd { cmd := exec.Command(node, "messages.js"); cmd.Dir = dir; return cmd },
	} {
		for what, to := range map[string]struct{ appID, path string }{
			"of a merchant":     {component, "/wechat/" + component + "/message/" + shop},
			"of an own account": {own, "/wechat/" + own + "/message"},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				for _, i := range []int{0, 7, 8, 15, 16, 23, 24, 31} { // lengths around the padding's blocks
					msgID++
					text := "你好 <&> ]] " + strings.Repeat("x", i)
					cmd := program()
					cmd.Env = append(os.Environ(), "URL=http://"+s.address("push")+to.path, "APPID="+to.appID, "TOKEN="+pushToken, "KEY="+aesKey)
					cmd.Stdin = strings.NewReader(userText(msgID, text))
					cmd.Stderr = os.Stderr
					reply, err := cmd.Output()
					if err != nil || string(reply) != textReply(text) {
						t.Fatalf("reply %s, %v; want %s", reply, err, textReply(text))
					}
				}
			})
		}
	}
}

// newMessageApp returns the address of an app that answers each text with itself.
func newMessageApp(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		var message struct{ Content string }
		if err := xml.Unmarshal(body, &message); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		_, _ = io.WriteString(w, textReply(message.Content)) // who asked may have left
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// userText is a message of a user.
func userText(msgID int64, text string) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[oUser]]></FromUserName><CreateTime>1800000000</CreateTime>"+
		"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s]]></Content><MsgId>%d</MsgId></xml>", text, msgID)
}

func textReply(text string) string {
	return "<xml><MsgType>text</MsgType><Content><![CDATA[" + text + "]]></Content></xml>"
}
