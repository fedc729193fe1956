package wechat

import (
	"context"
	"net/http"
	"net/url"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// SendText sends a text as a customer message to a user of the account whose token it is. user is
// the openid. The text may be a secret: no error shows it.
// https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
func (c *Client) SendText(ctx context.Context, token secret.Text, user, text string) error {
	const path = "/cgi-bin/message/custom/send"
	body := map[string]any{"touser": user, "msgtype": "text", "text": map[string]string{"content": text}}
	_, _, err := c.call(ctx, http.MethodPost, path, url.Values{"access_token": {token.Reveal()}}, body, token, secret.New(text))
	return err
}
