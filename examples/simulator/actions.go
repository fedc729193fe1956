package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// appIDPattern is the form of WeChat's appids.
var appIDPattern = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

func (k control) pushTicket(r *http.Request) (any, error) {
	component, err := k.component(r)
	if err != nil {
		return nil, err
	}
	return nil, k.s.PushTicket(r.Context(), component)
}

// push sends any event: its fields are those of wechattest.Event.
func (k control) push(r *http.Request) (any, error) {
	component, err := k.component(r)
	if err != nil {
		return nil, err
	}
	var e wechattest.Event
	if err := decode(r, &e); err != nil {
		return nil, err
	}
	return nil, k.s.Push(r.Context(), component, e)
}

// authorize lets an account authorise, new or known, and pushes the event unless
// push=false.
func (k control) authorize(r *http.Request) (any, error) {
	component, err := k.component(r)
	if err != nil {
		return nil, err
	}
	id := r.FormValue("appid")
	if !appIDPattern.MatchString(id) {
		return nil, fmt.Errorf("appid=%q: want wx and 16 hexadecimal digits", id)
	}
	renewed := k.s.Knows(component, id)
	code := k.s.Authorize(component, id)
	err = k.pushUnlessTold(r, component, k.s.AuthorizedEvent(id, code, renewed))
	return map[string]string{"authorization_code": code}, err
}

func (k control) revoke(r *http.Request) (any, error) {
	component, id, err := k.authorizer(r)
	if err != nil {
		return nil, err
	}
	k.s.Revoke(component, id)
	return nil, k.pushUnlessTold(r, component, wechattest.Event{InfoType: wechattest.InfoUnauthorized, AuthorizerAppID: id})
}

// pushUnlessTold pushes e, unless push=false was asked or there is no URL.
func (k control) pushUnlessTold(r *http.Request, component string, e wechattest.Event) error {
	wanted, err := flagOf(r, "push", true)
	if err != nil || !wanted {
		return err
	}
	for _, p := range k.c.Components {
		if p.AppID == component && p.PushURL == "" {
			return nil
		}
	}
	return k.s.Push(context.WithoutCancel(r.Context()), component, e)
}

func (k control) expire(r *http.Request) (any, error) {
	if r.FormValue("appid") == "" {
		k.s.ExpireAllTokens()
		return nil, nil
	}
	id, err := k.appID(r)
	if err == nil {
		k.s.ExpireToken(id)
	}
	return nil, err
}

func (k control) expireTickets(r *http.Request) (any, error) {
	component, err := k.component(r)
	if err == nil {
		k.s.ExpireTickets(component)
	}
	return nil, err
}

func (k control) displace(r *http.Request) (any, error) {
	id, err := k.appID(r)
	if err != nil {
		return nil, err
	}
	overlap, err := flagOf(r, "overlap", false)
	switch {
	case err != nil:
	case overlap:
		k.s.DisplaceWithOverlap(id)
	default:
		k.s.Displace(id)
	}
	return nil, err
}

// authorizerLever is an action on one authorizer.
func (k control) authorizerLever(pull func(*wechattest.Server, string, string)) action {
	return func(r *http.Request) (any, error) {
		component, id, err := k.authorizer(r)
		if err == nil {
			pull(k.s, component, id)
		}
		return nil, err
	}
}

func (k control) unlist(r *http.Request) (any, error) {
	component, id, err := k.authorizer(r)
	if err != nil {
		return nil, err
	}
	on, err := flagOf(r, "on", true)
	if err == nil {
		k.s.Unlist(component, id, on)
	}
	return nil, err
}

func (k control) stopPushing(r *http.Request) (any, error) {
	component, err := k.component(r)
	if err == nil {
		k.s.StopPushing(component)
	}
	return nil, err
}

func (k control) refuseIP(r *http.Request) (any, error) {
	id, err := k.appID(r)
	if err != nil {
		return nil, err
	}
	if !k.configured(id) {
		return nil, fmt.Errorf("appid %q is an authorizer, whose calls come under its component's whitelist: name that", id)
	}
	on, err := flagOf(r, "on", true)
	if err == nil {
		k.s.RefuseIP(id, on)
	}
	return nil, err
}

func (k control) exhaustQuota(r *http.Request) (any, error) {
	id, err := k.appID(r)
	if err != nil {
		return nil, err
	}
	path := r.FormValue("path")
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("path=%q: want a path as /cgi-bin/token", path)
	}
	k.s.ExhaustQuota(id, path)
	return nil, nil
}

func (k control) skew(r *http.Request) (any, error) {
	by, err := time.ParseDuration(cmp.Or(r.FormValue("by"), "0s"))
	if err == nil {
		k.s.SkewDate(by)
	}
	return nil, err
}

func (k control) outage(r *http.Request) (any, error) {
	on, err := flagOf(r, "on", true)
	if err != nil {
		return nil, err
	}
	return nil, k.s.Outage(on)
}

func (k control) certificate(r *http.Request) (any, error) {
	return nil, k.s.ShowCertificate(wechattest.Certificate(r.FormValue("show")))
}

func (k control) loginCode(r *http.Request) (any, error) {
	id, err := k.appID(r)
	if err != nil {
		return nil, err
	}
	return map[string]string{"code": k.s.LoginCode(id)}, nil
}

// decode reads a JSON body without members that are not known.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read the JSON body: %w", err)
	}
	return nil
}
