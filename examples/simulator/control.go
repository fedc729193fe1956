package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// control is the control API. It is for the loopback interface: it asks nobody
// for a password.
type control struct {
	s *wechattest.Server
	c config
}

// action is one thing that can be made to happen. Its answer is written as JSON;
// an error as status 400.
type action func(*http.Request) (any, error)

// newControl returns the handler of the control listener.
func newControl(s *wechattest.Server, c config) http.Handler {
	k := control{s, c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", k.help)
	for pattern, do := range map[string]action{
		"POST /control/push-ticket":    k.pushTicket,
		"POST /control/push":           k.push,
		"POST /control/message":        k.message,
		"POST /control/check-url":      k.checkURL,
		"POST /control/release-check":  k.releaseCheck,
		"POST /control/authorize":      k.authorize,
		"POST /control/revoke":         k.revoke,
		"POST /control/expire":         k.expire,
		"POST /control/expire-tickets": k.expireTickets,
		"POST /control/displace":       k.displace,
		"POST /control/rotate":         k.authorizerLever((*wechattest.Server).RotateRefreshToken),
		"POST /control/void":           k.authorizerLever((*wechattest.Server).VoidRefreshToken),
		"POST /control/unlist":         k.unlist,
		"POST /control/stop-pushing":   k.stopPushing,
		"POST /control/refuse-ip":      k.refuseIP,
		"POST /control/exhaust-quota":  k.exhaustQuota,
		"POST /control/skew":           k.skew,
		"POST /control/outage":         k.outage,
		"POST /control/certificate":    k.certificate,
		"POST /control/fault":          k.fault,
		"DELETE /control/faults":       k.clearFaults,
		"POST /control/login-code":     k.loginCode,
		"GET /control/requests":        k.requests,
		"DELETE /control/requests":     k.forget,
		"GET /control/violations":      k.violations,
		"GET /control/pushes":          k.pushes,
		"GET /control/state":           k.state,
		"GET /control/secrets":         k.secrets,
	} {
		mux.Handle(pattern, do)
	}
	mux.HandleFunc("GET /control/ca.pem", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.CACertPEM()) })
	return mux
}

// ServeHTTP does the action and writes its answer.
func (do action) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Form = r.URL.Query() // else a form's Content-Type, curl's default, has the JSON body read as a form
	v, err := do(r)
	status := http.StatusOK
	if err != nil {
		status, v = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	if v == nil {
		v = map[string]bool{"ok": true}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client may have left
}

// component is the one that the request names, or the only one.
func (k control) component(r *http.Request) (string, error) {
	all := k.s.Components()
	named := r.FormValue("component")
	switch {
	case named == "" && len(all) == 1:
		return all[0], nil
	case named == "":
		return "", fmt.Errorf("say which component: ?component= one of %v", all)
	case !slices.Contains(all, named):
		return "", fmt.Errorf("no component %q: have %v", named, all)
	}
	return named, nil
}

// authorizer is the component and the account that the request names.
func (k control) authorizer(r *http.Request) (component, appID string, err error) {
	component, err = k.component(r)
	if err != nil {
		return "", "", err
	}
	appID = r.FormValue("appid")
	if !k.s.Knows(component, appID) {
		return "", "", fmt.Errorf("appid %q never authorised %s", appID, component)
	}
	return component, appID, nil
}

// appID is the account or component that the request names. A lever that is
// pulled on nobody would seem to work.
func (k control) appID(r *http.Request) (string, error) {
	id := r.FormValue("appid")
	switch {
	case id == "":
		return "", errors.New("say which account: ?appid=")
	case !k.configured(id) && !slices.ContainsFunc(k.s.Components(), func(c string) bool { return k.s.Knows(c, id) }):
		return "", fmt.Errorf("appid %q is no component, own account or authorizer here; /control/state lists them", id)
	}
	return id, nil
}

// configured reports whether id is a component or an own account.
func (k control) configured(id string) bool {
	return slices.Contains(append(k.s.Components(), k.s.Accounts()...), id)
}

// limitOf reads ?limit=, which must be at least that; a missing one is 100.
func limitOf(r *http.Request, least int) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("limit=%q: want a number of at least %d", text, least)
	}
	return n, nil
}

// flagOf reads a boolean parameter; a missing one is otherwise.
func flagOf(r *http.Request, name string, otherwise bool) (bool, error) {
	text := r.FormValue(name)
	if text == "" {
		return otherwise, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s=%q: want true or false", name, text)
	}
	return on, nil
}
