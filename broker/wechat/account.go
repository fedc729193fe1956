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
	return c.grant(ctx, http.MethodPost, path, nil, body, "access_token", appSecret)
}

// Ticket asks for an account's ticket for pages; kind is "jsapi" or "wx_card".
// https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html
func (c *Client) Ticket(ctx context.Context, token secret.Text, kind string) (Grant, error) {
	const path = "/cgi-bin/ticket/getticket"
	query := url.Values{"access_token": {token.Reveal()}, "type": {kind}}
	return c.grant(ctx, http.MethodGet, path, query, nil, "ticket", token)
}
