package proxy

import (
	"context"
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Exchange is what the data path needs of the broker for calls that exchange codes or
// carry secrets. The broker keeps the tokens that these calls return, and the app gets
// handles and placeholders.
type Exchange interface {
	// QueryAuth trades an authorization code, or returns the answer that WeChat gave
	// when it was traded before; concurrent calls share one. The answer is WeChat's
	// own; a refusal of WeChat's is a *wechat.APIError. WeChat may have spent the code
	// where the error is a *wechat.NoAnswerError that was sent or a
	// *wechat.BadAnswerError.
	QueryAuth(ctx context.Context, component string, code secret.Text) ([]byte, error)
	// Learn says that WeChat named this refresh token for an authorizer of the
	// component. It does not block, and may keep the texts.
	Learn(component, appid string, refreshToken secret.Text)
	// Secret returns the configured secret of a component or an own account.
	Secret(appid string) (secret.Text, bool)
}

// serveQueryAuth has the broker exchange the code, since a code works only once.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerRefreshToken.html
func (s *Server) serveQueryAuth(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	component, f := s.checkAccount(r, c)
	if f != nil {
		return f
	}
	code := r.field("authorization_code")
	if code == "" {
		return badBody("authorization_code is missing in the JSON body")
	}
	answer, err := s.exchange.QueryAuth(s.tokenContext(), component, secret.New(code))
	var refusal *wechat.APIError
	if errors.As(err, &refusal) {
		s.writeRefusal(r, resp, refusal)
		return nil
	}
	if err != nil {
		return s.exchangeFault(r, err, component)
	}
	masked, f := s.maskTokens(r, component, answer)
	if f != nil {
		return f
	}
	s.writeJSON(r, resp, masked)
	return nil
}

// exchangeFault returns the fault of an exchange that failed. If the call may have reached
// WeChat, the code may be spent, and the fault says so.
func (s *Server) exchangeFault(r *request, err error, component string) *fault {
	var silent *wechat.NoAnswerError
	var bad *wechat.BadAnswerError
	if errors.As(err, &bad) || errors.As(err, &silent) && silent.Sent {
		r.sent = true
		return s.noAnswerFault(r, err)
	}
	return brokerFault(err, component)
}

// writeRefusal answers as WeChat answered the broker.
func (s *Server) writeRefusal(r *request, resp *fasthttp.Response, e *wechat.APIError) {
	b := strconv.AppendInt([]byte(`{"errcode":`), int64(e.Code), 10)
	b = appendJSONText(append(b, `,"errmsg":`...), e.Msg)
	s.writeJSON(r, resp, append(b, '}'))
	r.result = resultErrcode
	s.countErrcode(r, e.Code)
}

// serveMasked forwards a call whose answer has refresh tokens, and masks them.
func (s *Server) serveMasked(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	component, f := s.checkAccount(r, c)
	if f != nil {
		return f
	}
	r.masked = true
	if f := s.forward(r, resp); f != nil {
		return f
	}
	if encoded(resp) {
		return answerEncoded()
	}
	masked, f := s.maskTokens(r, component, bufferedBody(resp))
	if f != nil {
		return f
	}
	resp.SetBodyRaw(masked)
	return nil
}
