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

	queryAuthPath = "/cgi-bin/component/api_query_auth"

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
	// Name and Avatar are the account's nick name and the address of its picture, from
	// info only. Merchants choose the name: it is text, never markup.
	Name, Avatar string
	// MiniProgram says, from info only, that the account is one.
	MiniProgram bool
	// Rights are what the merchant has granted, from info and exchange only.
	Rights []Right
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

// Right is a set of permissions that a merchant has granted a component (func_info).
type Right struct {
	// ID is WeChat's number of it, 0 where it cannot be read.
	ID int64
	// Name is WeChat's name of it, in Chinese; often empty.
	Name string
	// Unconfirmed says that it takes effect only once the merchant has confirmed it.
	Unconfirmed bool
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

// PreAuthCode asks for a code with which one merchant is sent to WeChat's authorization
// page. The grant's Token is the code.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getPreAuthCode.html
func (c *Client) PreAuthCode(ctx context.Context, component string, componentToken secret.Text) (Grant, error) {
	const path = "/cgi-bin/component/api_create_preauthcode"
	body := map[string]string{"component_appid": component}
	return c.grant(ctx, http.MethodPost, path, componentQuery(componentToken), body, "pre_auth_code", componentToken)
}

// QueryAuth exchanges an authorization code. A code works once.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerRefreshToken.html
func (c *Client) QueryAuth(ctx context.Context, component string, componentToken, code secret.Text) (Exchange, error) {
	const path = queryAuthPath
	body := map[string]string{"component_appid": component, "authorization_code": code.Reveal()}
	answer, raw, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, componentToken, code)
	if err != nil {
		return Exchange{}, err
	}
	return answer.exchange(raw)
}

// ReadExchange reads an answer of [Client.QueryAuth] that was kept. It keeps answer, as
// the exchange's Answer.
func ReadExchange(answer []byte) (Exchange, error) {
	o, err := read(queryAuthPath, answer, nil)
	if err != nil {
		return Exchange{}, err
	}
	return o.exchange(answer)
}

func (o object) exchange(raw []byte) (Exchange, error) {
	const path = queryAuthPath
	info := o.inner("authorization_info")
	a := Authorizer{AppID: info.appID(), RefreshToken: info.refreshToken("authorizer_refresh_token"), Rights: info.rights()}
	if a.AppID == "" {
		return Exchange{}, badAnswer(path, "authorizer_appid "+info.wrong("authorizer_appid", "an appid"))
	}
	// The code is spent: without a usable token the refresh token brings another.
	g, _ := info.grant(path, authorizerToken)
	return Exchange{Authorizer: a, Grant: g, Answer: raw}, nil
}

// rights returns func_info. An item that cannot be read is passed over.
func (o object) rights() []Right {
	items, _ := o.items("func_info")
	var rights []Right
	for _, item := range items {
		category, confirm := item.inner("funcscope_category"), item.inner("confirm_info")
		r := Right{Name: category.text("name")}
		r.ID, _ = category.number("id")
		need, _ := confirm.number("need_confirm")
		already, _ := confirm.number("already_confirm")
		r.Unconfirmed = need == 1 && already == 0
		if r.ID != 0 || r.Name != "" {
			rights = append(rights, r)
		}
	}
	return rights
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
	about := answer.inner("authorizer_info")
	return Authorizer{
		AppID: appID, Name: about.text("nick_name"), Avatar: about.text("head_img"), MiniProgram: about.has("MiniProgramInfo"),
		RefreshToken: info.refreshToken("authorizer_refresh_token"), Rights: info.rights(),
	}, nil
}
