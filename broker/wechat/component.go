package wechat

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const (
	infoPath = "/cgi-bin/component/api_get_authorizer_info"
	listPath = "/cgi-bin/component/api_get_authorizer_list"

	authorizerToken = "authorizer_access_token"
)

// Grant is a token as WeChat gave it.
type Grant struct {
	Token secret.Text
	// Life is expires_in: how long the token lives from about the time of sending.
	Life time.Duration
	// RefreshToken comes with authorizer tokens; it may be empty, and then the one
	// held stays good.
	RefreshToken secret.Text
}

// Authorizer is what WeChat's list or info says of one authorizer.
type Authorizer struct {
	AppID string
	// RefreshToken is empty for an account whose code was never exchanged.
	RefreshToken secret.Text
	// AuthorizedAt is zero where WeChat does not say.
	AuthorizedAt time.Time
	// Name is the account's nick name, from info only. Merchants choose it: it is
	// text, never markup.
	Name string
}

// Exchange is what an authorization code was exchanged for.
type Exchange struct {
	Authorizer Authorizer
	// Grant is empty for an account without API permission, and where the token that
	// came cannot be used.
	Grant Grant
	// Answer is WeChat's answer, secrets and all.
	Answer []byte
}

func componentQuery(token secret.Text) url.Values {
	return url.Values{"component_access_token": {token.Reveal()}}
}

// ComponentToken exchanges a ticket for the component's token.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getComponentAccessToken.html
func (c *Client) ComponentToken(ctx context.Context, component string, appSecret, ticket secret.Text) (Grant, error) {
	const path = "/cgi-bin/component/api_component_token"
	body := map[string]string{
		"component_appid":         component,
		"component_appsecret":     appSecret.Reveal(),
		"component_verify_ticket": ticket.Reveal(),
	}
	return c.grant(ctx, http.MethodPost, path, nil, body, "component_access_token", appSecret, ticket)
}

// grant makes a call whose answer is a token under that name.
func (c *Client) grant(ctx context.Context, method, path string, query url.Values, body any, name string, secrets ...secret.Text) (Grant, error) {
	answer, _, err := c.call(ctx, method, path, query, body, secrets...)
	if err != nil {
		return Grant{}, err
	}
	return answer.grant(path, name)
}

// StartPushTicket asks WeChat to push tickets (again).
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/startPushTicket.html
func (c *Client) StartPushTicket(ctx context.Context, component string, appSecret secret.Text) error {
	const path = "/cgi-bin/component/api_start_push_ticket"
	body := map[string]string{"component_appid": component, "component_secret": appSecret.Reveal()}
	_, _, err := c.call(ctx, http.MethodPost, path, nil, body, appSecret)
	return err
}

// AuthorizerToken renews an authorizer's token.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerAccessToken.html
func (c *Client) AuthorizerToken(ctx context.Context, component string, componentToken secret.Text, appID string, refreshToken secret.Text) (Grant, error) {
	const path = "/cgi-bin/component/api_authorizer_token"
	body := map[string]string{
		"component_appid":          component,
		"authorizer_appid":         appID,
		"authorizer_refresh_token": refreshToken.Reveal(),
	}
	return c.grant(ctx, http.MethodPost, path, componentQuery(componentToken), body, authorizerToken, componentToken, refreshToken)
}

// QueryAuth exchanges an authorization code. A code works once.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerRefreshToken.html
func (c *Client) QueryAuth(ctx context.Context, component string, componentToken, code secret.Text) (Exchange, error) {
	const path = "/cgi-bin/component/api_query_auth"
	body := map[string]string{"component_appid": component, "authorization_code": code.Reveal()}
	answer, raw, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, componentToken, code)
	if err != nil {
		return Exchange{}, err
	}
	info := answer.inner("authorization_info")
	a := Authorizer{AppID: info.appID(), RefreshToken: info.refreshToken("authorizer_refresh_token")}
	if a.AppID == "" {
		return Exchange{}, badAnswer(path, "authorizer_appid "+info.wrong("authorizer_appid", "an appid"))
	}
	// The code is spent: without a usable token the refresh token brings another.
	g, _ := info.grant(path, authorizerToken)
	return Exchange{Authorizer: a, Grant: g, Answer: raw}, nil
}

// AuthorizerInfo asks for one authorizer, among others for its present refresh
// token. It needs no code: it is a way to recover.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerInfo.html
func (c *Client) AuthorizerInfo(ctx context.Context, component string, componentToken secret.Text, appID string) (Authorizer, error) {
	const path = infoPath
	body := map[string]string{"component_appid": component, "authorizer_appid": appID}
	answer, _, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, componentToken)
	if err != nil {
		return Authorizer{}, err
	}
	info := answer.inner("authorization_info")
	if got := info.text("authorizer_appid"); got != "" && got != appID {
		return Authorizer{}, badAnswer(path, "it is about another account")
	}
	return Authorizer{
		AppID: appID, Name: answer.inner("authorizer_info").text("nick_name"),
		RefreshToken: info.refreshToken("authorizer_refresh_token"),
	}, nil
}
