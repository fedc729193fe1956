package wechat

import (
	"context"
	"net/http"
	"net/url"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// StableToken asks for an own account's token. Without force WeChat gives the
// same token until its last five minutes, and expires_in is what is left of it;
// with force the former token is void at once (at most 20 times a day, 30 s apart).
// https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
func (c *Client) StableToken(ctx context.Context, appID string, appSecret secret.Text, force bool) (Grant, error) {
	const path = "/cgi-bin/stable_token"
	body := map[string]any{
		"grant_type": "client_credential", "appid": appID,
		"secret": appSecret.Reveal(), "force_refresh": force,
	}
	var answer struct {
		Token     string `json:"access_token"`
		ExpiresIn *int64 `json:"expires_in"`
	}
	if _, err := c.call(ctx, http.MethodPost, path, nil, body, &answer, appSecret); err != nil {
		return Grant{}, err
	}
	return grant(path, "access_token", answer.Token, answer.ExpiresIn, "")
}

// Ticket asks for an account's ticket for pages; kind is "jsapi" or "wx_card".
// https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html
func (c *Client) Ticket(ctx context.Context, token secret.Text, kind string) (Grant, error) {
	const path = "/cgi-bin/ticket/getticket"
	query := url.Values{"access_token": {token.Reveal()}, "type": {kind}}
	var answer struct {
		Ticket    string `json:"ticket"`
		ExpiresIn *int64 `json:"expires_in"`
	}
	if _, err := c.call(ctx, http.MethodGet, path, query, nil, &answer, token); err != nil {
		return Grant{}, err
	}
	return grant(path, "ticket", answer.Ticket, answer.ExpiresIn, "")
}
