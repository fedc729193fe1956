package proxy

import (
	"context"
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Exchange is what the data path needs of the broker for calls that trade codes
// and secrets. The broker keeps what these calls bring, and the app gets handles
// and placeholders.
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

// serveQueryAuth lets the broker trade the code, since it works only once.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerRefreshToken.html
func (s *Server) serveQueryAuth(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	component, f := s.componentOf(r, c)
	if f != nil {
		return f
	}
	code := r.field("authorization_code")
	if code == "" {
		return badBody("authorization_code is missing in the JSON body")
	}
	answer, err := s.exchange.QueryAuth(s.waiting(), component, secret.New(code))
	var refusal *wechat.APIError
	if errors.As(err, &refusal) {
		s.answerRefusal(r, resp, refusal)
		return nil
	}
	if err != nil {
		return s.exchangeFault(r, err, component)
	}
	masked, f := s.mask(r, component, answer)
	if f != nil {
		return f
	}
	s.answerJSON(r, resp, masked)
	return nil
}

// exchangeFault words why a code was not exchanged. WeChat may have spent it all the
// same, if the call reached it.
func (s *Server) exchangeFault(r *request, err error, component string) *fault {
	var silent *wechat.NoAnswerError
	var bad *wechat.BadAnswerError
	if errors.As(err, &bad) || errors.As(err, &silent) && silent.Sent {
		r.sent = true
		return s.unanswered(r, err)
	}
	return brokerFault(err, component)
}

// answerRefusal passes on what WeChat said to the broker, in WeChat's own shape.
func (s *Server) answerRefusal(r *request, resp *fasthttp.Response, e *wechat.APIError) {
	b := strconv.AppendInt([]byte(`{"errcode":`), int64(e.Code), 10)
	b = appendJSONText(append(b, `,"errmsg":`...), e.Msg)
	s.answerJSON(r, resp, append(b, '}'))
	r.result = resultErrcode
	s.countErrcode(r, e.Code)
}

// componentOf returns the component that a call in its own name is about. The body
// of such a call names it, and that alone settles it where there are several.
func (s *Server) componentOf(r *request, c *callers) (string, *fault) {
	named, f := r.appIDField(paramComponentAppID)
	if f != nil {
		return "", f
	}
	if named != "" {
		a, f := s.account(named)
		if f != nil {
			return "", f
		}
		if a.Kind == broker.KindComponent {
			r.component = a.AppID
		}
	}
	if f := s.identify(r); f != nil {
		return "", f
	}
	appid := r.cred.key.AppID
	return appid, c.mayCall(r, appid)
}

// serveCaptured forwards a call whose answer names refresh tokens, and takes them
// out of it.
func (s *Server) serveCaptured(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	component, f := s.componentOf(r, c)
	if f != nil {
		return f
	}
	r.captured = true
	if f := s.forward(r, resp); f != nil {
		return f
	}
	if encoded(resp) {
		return answerEncoded()
	}
	masked, f := s.mask(r, component, held(resp))
	if f != nil {
		return f
	}
	resp.SetBodyRaw(masked)
	return nil
}
