package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// call is one call of the app, with what WeChat must receive.
type call struct {
	// method, target, appID and body are what the app sends; appID goes into the
	// header and is empty for none.
	method, target, appID, body string
	// path, kind and owner say which token must come with which path.
	path  string
	kind  wechattest.Kind
	owner string
	// refused is how many times WeChat refuses the call before it goes well.
	refused int
}

// call makes a call, prints it from both sides and checks it. It returns what
// WeChat received.
func (t *tour) call(ctx context.Context, c call) ([]wechattest.Request, error) {
	before := len(t.received(c.path))
	t.p.line("app sends", sent(c.method, "http://"+t.sidecar.apps+c.target, c.appID, c.body))
	status, answer, err := t.do(ctx, request{method: c.method, url: "http://" + t.sidecar.apps + c.target, appID: c.appID, body: c.body})
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", c.target, err)
	}
	got := t.received(c.path)[before:]
	for _, r := range got {
		text := sent(r.Method, shortToken(r.URI), "", string(r.Body))
		if r.Errcode != 0 {
			text += fmt.Sprintf("   refused: errcode %d", r.Errcode)
		}
		t.p.line("WeChat receives", text)
	}
	t.p.line("app gets", fmt.Sprintf("%d %s", status, answer))
	if status != 200 || strings.Contains(answer, `"errcode":4`) {
		return nil, fmt.Errorf("call %s: answered %d %s", c.target, status, shorten(answer))
	}
	return got, c.check(got)
}

// received returns what WeChat has got on path.
func (t *tour) received(path string) []wechattest.Request {
	var found []wechattest.Request
	for _, r := range t.world.wechat.Requests() {
		if r.Path == path {
			found = append(found, r)
		}
	}
	return found
}

// sent lays a request out, a line for each part.
func sent(method, target, appID, body string) string {
	text := method + " " + target
	if appID != "" {
		text += "\nX-Wechat-Appid: " + appID
	}
	if body != "" {
		text += "\n" + body
	}
	return text
}

// shortToken keeps a token of any form from being shown whole.
func shortToken(uri string) string {
	at := strings.Index(uri, "access_token=")
	if at < 0 {
		return uri
	}
	value, rest, more := strings.Cut(uri[at+len("access_token="):], "&")
	uri = uri[:at] + "access_token=" + value[:min(6, len(value))] + "…"
	if more {
		uri += "&" + rest
	}
	return uri
}

// check compares what WeChat received with what it should have.
func (c call) check(got []wechattest.Request) error {
	if len(got) != c.refused+1 {
		return fmt.Errorf("call %s: reached WeChat %d times, want %d", c.target, len(got), c.refused+1)
	}
	for i, r := range got {
		if err := c.checkOne(r, i < c.refused); err != nil {
			return fmt.Errorf("call %s: %w", c.target, err)
		}
	}
	return nil
}

func (c call) checkOne(r wechattest.Request, refused bool) error {
	switch {
	case r.TokenKind != c.kind || r.TokenAppID != c.owner:
		return fmt.Errorf("it came with the %s token of %s, want the %s token of %s", r.TokenKind, r.TokenAppID, c.kind, c.owner)
	case string(r.Body) != c.body:
		return errors.New("its body is not the one that was sent")
	case strings.Contains(r.URI, staleToken):
		return errors.New("the app's own token reached WeChat")
	case (r.Errcode != 0) != refused:
		return fmt.Errorf("WeChat answered errcode %d", r.Errcode)
	default:
		return nil
	}
}
