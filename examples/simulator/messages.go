package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// message sends a user's message: its fields are those of wechattest.Message.
func (k control) message(r *http.Request) (any, error) {
	component, id, err := k.addressee(r)
	if err != nil {
		return nil, err
	}
	var m wechattest.Message
	if err := decode(r, &m); err != nil {
		return nil, err
	}
	reply, err := k.s.PushMessage(r.Context(), component, id, m)
	if err != nil {
		return nil, err
	}
	return map[string]string{"msg_type": reply.MsgType, "content": reply.Content, "reply": string(reply.Document)}, nil
}

// addressee is the account that the request names, and the component that its messages come
// through; empty for an own account.
func (k control) addressee(r *http.Request) (component, appID string, err error) {
	if appID = r.FormValue("appid"); slices.Contains(k.s.Accounts(), appID) {
		return "", appID, nil
	}
	return k.authorizer(r)
}

func (k control) checkURL(r *http.Request) (any, error) {
	id := r.FormValue("appid")
	if !slices.Contains(k.s.Accounts(), id) {
		return nil, fmt.Errorf("appid %q: want an own account, one of %v", id, k.s.Accounts())
	}
	return nil, k.s.CheckMessageURL(r.Context(), id)
}

// releaseCheck runs the release check and shows its steps. One that failed is no failure of
// the request.
func (k control) releaseCheck(r *http.Request) (any, error) {
	component, err := k.component(r)
	if err != nil {
		return nil, err
	}
	pair, err := strconv.Atoi(cmp.Or(r.FormValue("pair"), "0"))
	if err != nil || pair < 0 || pair >= wechattest.ReleasePairs() {
		return nil, fmt.Errorf("pair=%q: want 0 to %d", r.FormValue("pair"), wechattest.ReleasePairs()-1)
	}
	asJSON, err := flagOf(r, "json", false)
	if err != nil {
		return nil, err
	}
	steps, err := k.s.CheckRelease(r.Context(), wechattest.ReleaseCheck{Component: component, Pair: pair, JSON: asJSON})
	return map[string]any{"passed": err == nil, "steps": steps}, nil
}
