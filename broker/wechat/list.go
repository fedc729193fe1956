package wechat

import (
	"context"
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// ListPageSize is the most that WeChat gives of the list of authorizers at once.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerList.html
const ListPageSize = 500

// Page is one page of the list of a component's authorizers.
type Page struct {
	Authorizers []Authorizer
	// Skipped is how many more accounts stood in it whose appid cannot be read.
	Skipped int
	// Total is how many accounts the whole list has.
	Total int
}

// Len is how many accounts stood in the page, those that were skipped included: the
// next page begins so much further on.
func (p Page) Len() int { return len(p.Authorizers) + p.Skipped }

// AuthorizerList asks for the page of the list of all authorizers that begins at offset.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerList.html
func (c *Client) AuthorizerList(ctx context.Context, component string, componentToken secret.Text, offset int) (Page, error) {
	const path = listPath
	body := map[string]any{"component_appid": component, "offset": offset, "count": ListPageSize}
	answer, _, err := c.call(ctx, http.MethodPost, path, componentQuery(componentToken), body, componentToken)
	if err != nil {
		return Page{}, err
	}
	total, ok := answer.number("total_count")
	if !ok || total < 0 {
		return Page{}, badAnswer(path, "total_count "+answer.wrong("total_count", "a count"))
	}
	items, ok := answer.items("list")
	if !ok && total > int64(offset) {
		return Page{}, badAnswer(path, "list "+answer.wrong("list", "an array"))
	}
	return pageOf(items, total), nil
}

func pageOf(items []object, total int64) Page {
	p := Page{Total: int(min(total, maxTotal))}
	for _, item := range items {
		a := Authorizer{AppID: item.appID(), RefreshToken: item.refreshToken("refresh_token")}
		if a.AppID == "" {
			p.Skipped++
			continue
		}
		if at, ok := item.number("auth_time"); ok && at > 0 && at <= maxUnix {
			a.AuthorizedAt = time.Unix(at, 0)
		}
		p.Authorizers = append(p.Authorizers, a)
	}
	return p
}

// maxTotal is more than a platform can have, and fits into an int everywhere.
const maxTotal = 1 << 30
