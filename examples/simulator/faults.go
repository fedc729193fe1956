package main

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// faultRequest is a fault as the control API takes it.
type faultRequest struct {
	Path        string            `json:"path"`
	Host        string            `json:"host"`
	AppID       string            `json:"appid"`
	Component   string            `json:"component"`
	Mode        wechattest.Mode   `json:"mode"`
	Errcode     int               `json:"errcode"`
	Errmsg      string            `json:"errmsg"`
	Status      int               `json:"status"`
	Header      map[string]string `json:"header"`
	Body        string            `json:"body"`
	Raw         string            `json:"raw"`
	Latency     duration          `json:"latency"`
	Drip        duration          `json:"drip"`
	Chunked     bool              `json:"chunked"`
	Effect      bool              `json:"effect"`
	Times       int               `json:"times"`
	Probability float64           `json:"probability"`
}

func (k control) fault(r *http.Request) (any, error) {
	var f faultRequest
	if err := decode(r, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Mode != "" && !slices.Contains(wechattest.Modes(), f.Mode):
		return nil, fmt.Errorf("mode %q: want one of %v", f.Mode, wechattest.Modes())
	case f.Probability < 0 || f.Probability > 1:
		return nil, fmt.Errorf("probability %v: want 0 to 1", f.Probability)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return nil, fmt.Errorf("status %d: want 200 to 599", f.Status)
	}
	k.s.Fault(f.Path, wechattest.Fault{
		Host: f.Host, AppID: f.AppID, Component: f.Component, Mode: f.Mode, Errcode: f.Errcode, Errmsg: f.Errmsg,
		Status: f.Status, Header: f.Header, Body: f.Body, Raw: f.Raw,
		Latency: f.Latency.Duration, Drip: f.Drip.Duration, Chunked: f.Chunked,
		Effect: f.Effect, Times: f.Times, Probability: f.Probability,
	})
	return nil, nil
}

func (k control) clearFaults(*http.Request) (any, error) {
	k.s.ClearFaults()
	return nil, nil
}
