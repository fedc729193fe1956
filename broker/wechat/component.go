package wechat

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// ListPageSize is the most that WeChat gives of the list of authorizers at once.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerList.html
const ListPageSize = 500

const (
	infoPath = "/cgi-bin/component/api_get_authorizer_info"
	listPath = "/cgi-bin/component/api_get_authorizer_list"
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
	// Grant is empty for an account without API permission.
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
	var answer struct {
		Token     string `json:"component_access_token"`
		ExpiresIn *int64 `json:"expires_in"`
	}
	if _, err := c.call(ctx, http.MethodPost, path, nil, body, &answer, appSecret, ticket); err != nil {
		return Grant{}, err
	}
	return grant(path, "component_access_token", answer.Token, answer.ExpiresIn, "")
}

func grant(path, field, token string, expiresIn *int64, refreshToken string) (Grant, error) {
	value, err := checkToken(path, field, token)
	if err != nil {
		return Grant{}, err
	}
	life, err := checkLife(path, expiresIn)
	if err != nil {
		return Grant{}, err
	}
	g := Grant{Token: value, Life: life}
	if refreshToken != "" {
		if g.RefreshToken, err = checkToken(path, "authorizer_refresh_token", refreshToken); err != nil {
			return Grant{}, err
		}
	}
	return g, nil
}

// StartPushTicket asks WeChat to push tickets (again).
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/startPushTicket.html
func (c *Client) StartPushTicket(ctx context.Context, component string, appSecret secret.Text) error {
	body := map[string]string{"component_appid": component, "component_secret": appSecret.Reveal()}
	_, err := c.call(ctx, http.MethodPost, "/cgi-bin/component/api_start_push_ticket", nil, body, nil, appSecret)
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
	var answer struct {
		Token        string `json:"authorizer_access_token"`
		ExpiresIn    *int64 `json:"expires_in"`
		RefreshToken string `json:"authorizer_refresh_token"`
	}
	if _, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, &answer, componentToken, refreshToken); err != nil {
		return Grant{}, err
	}
	return grant(path, "authorizer_access_token", answer.Token, answer.ExpiresIn, answer.RefreshToken)
}

// QueryAuth exchanges an authorization code. A code works once.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerRefreshToken.html
func (c *Client) QueryAuth(ctx context.Context, component string, componentToken, code secret.Text) (Exchange, error) {
	const path = "/cgi-bin/component/api_query_auth"
	body := map[string]string{"component_appid": component, "authorization_code": code.Reveal()}
	var answer struct {
		Info struct {
			AppID        string `json:"authorizer_appid"`
			Token        string `json:"authorizer_access_token"`
			ExpiresIn    *int64 `json:"expires_in"`
			RefreshToken string `json:"authorizer_refresh_token"`
		} `json:"authorization_info"`
	}
	raw, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, &answer, componentToken, code)
	if err != nil {
		return Exchange{}, err
	}
	if answer.Info.AppID == "" {
		return Exchange{}, &BadAnswerError{Path: path, Status: 200, Reason: "authorizer_appid is missing"}
	}
	x := Exchange{Authorizer: Authorizer{AppID: answer.Info.AppID, RefreshToken: secret.New(answer.Info.RefreshToken)}, Answer: raw}
	if answer.Info.Token == "" {
		return x, nil
	}
	x.Grant, err = grant(path, "authorizer_access_token", answer.Info.Token, answer.Info.ExpiresIn, answer.Info.RefreshToken)
	return x, err
}

// AuthorizerInfo asks for one authorizer, among others for its present refresh
// token. It needs no code: it is a way to recover.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerInfo.html
func (c *Client) AuthorizerInfo(ctx context.Context, component string, componentToken secret.Text, appID string) (Authorizer, error) {
	const path = infoPath
	body := map[string]string{"component_appid": component, "authorizer_appid": appID}
	var answer struct {
		Authorizer struct {
			Name string `json:"nick_name"`
		} `json:"authorizer_info"`
		Authorization struct {
			AppID        string `json:"authorizer_appid"`
			RefreshToken string `json:"authorizer_refresh_token"`
		} `json:"authorization_info"`
	}
	if _, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, &answer, componentToken); err != nil {
		return Authorizer{}, err
	}
	if got := answer.Authorization.AppID; got != "" && got != appID {
		return Authorizer{}, &BadAnswerError{Path: path, Status: 200, Reason: "it is about another account"}
	}
	return Authorizer{
		AppID: appID, Name: answer.Authorizer.Name,
		RefreshToken: secret.New(answer.Authorization.RefreshToken),
	}, nil
}

// AuthorizerList asks for a page of the list of all authorizers, and for how
// many there are.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerList.html
func (c *Client) AuthorizerList(ctx context.Context, component string, componentToken secret.Text, offset int) (page []Authorizer, total int, err error) {
	const path = listPath
	body := map[string]any{"component_appid": component, "offset": offset, "count": ListPageSize}
	var answer struct {
		Total *int `json:"total_count"`
		List  []struct {
			AppID        string `json:"authorizer_appid"`
			RefreshToken string `json:"refresh_token"`
			AuthTime     int64  `json:"auth_time"`
		} `json:"list"`
	}
	if _, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, &answer, componentToken); err != nil {
		return nil, 0, err
	}
	if answer.Total == nil {
		return nil, 0, &BadAnswerError{Path: path, Status: 200, Reason: "total_count is missing"}
	}
	for _, a := range answer.List {
		if a.AppID == "" {
			return nil, 0, &BadAnswerError{Path: path, Status: 200, Reason: "an authorizer_appid is missing"}
		}
		item := Authorizer{AppID: a.AppID, RefreshToken: secret.New(a.RefreshToken)}
		if a.AuthTime > 0 {
			item.AuthorizedAt = time.Unix(a.AuthTime, 0)
		}
		page = append(page, item)
	}
	return page, *answer.Total, nil
}
