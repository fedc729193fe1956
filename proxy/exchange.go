package proxy

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
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

// secretFields are the names under which a call carries an appid and its secret.
type secretFields struct{ appid, secret string }

// secretPaths are the calls that carry a secret for another use than a token.
var secretPaths = map[string]secretFields{
	"/cgi-bin/clear_quota/v2":                  {"appid", "appsecret"},
	"/cgi-bin/component/clear_quota/v2":        {"component_appid", "appsecret"},
	"/cgi-bin/component/api_start_push_ticket": {"component_appid", "component_secret"},
	"/sns/jscode2session":                      {"appid", "secret"},
	"/sns/oauth2/access_token":                 {"appid", "secret"},
}

// serveSecret puts the configured secret in place of the one that the app sent,
// wherever that is, and forwards the call.
func (s *Server) serveSecret(r *request, c *callers, resp *fasthttp.Response, fields secretFields) *fault {
	if f := s.admitBySecret(r, c, fields); f != nil {
		return f
	}
	if f := r.refuseTwice(fields.appid); f != nil {
		return f
	}
	appid, f := r.appIDField(fields.appid)
	if f != nil {
		return f
	}
	if f := c.mayCall(r, appid); f != nil {
		return f
	}
	return s.sendSecret(r, c, resp, fields, appid)
}

// sendSecret forwards a call of the account appid with the configured secret.
func (s *Server) sendSecret(r *request, c *callers, resp *fasthttp.Response, fields secretFields, appid string) *fault {
	value, known := s.exchange.Secret(appid)
	switch {
	case known:
		r.hidden.setSecret(value.Reveal())
		r.setField(fields.secret, value.Reveal(), fields.appid)
	case c.isKey(r.field(fields.secret)):
		// What stands there is the caller's key, which is not WeChat's to see.
		return noSecret(fields.appid, appid)
	}
	if f := s.identify(r); f != nil {
		return f
	}
	return s.forward(r, resp)
}

// setField replaces a value of the call's form where it stands. Where it stands
// nowhere, since some HTTP clients leave out what is null, it is added, in the way
// in which the form gives beside.
func (r *request) setField(name, value, beside string) {
	v, at, queried := findParam(r.query, name)
	if queried {
		r.query = splice(r.query, at, len(v), appendEscaped(nil, value))
	}
	body := r.body.kept
	if v := gjson.GetBytes(body, name); v.Exists() && v.Index > 0 {
		r.setBody(splice(body, v.Index, len(v.Raw), appendJSONText(nil, value)))
	} else if v, at, ok := findParam(body, name); ok {
		r.setBody(splice(body, at, len(v), appendEscaped(nil, value)))
	} else if !queried {
		r.addField(name, value, beside)
	}
}

func (r *request) addField(name, value, beside string) {
	body := r.body.kept
	switch form := gjson.ParseBytes(body); {
	case form.IsObject():
		member := append(appendJSONText(nil, name), ':')
		member = appendJSONText(member, value)
		if len(form.Map()) > 0 {
			member = append(member, ',')
		}
		r.setBody(splice(body, bytes.IndexByte(body, '{')+1, 0, member))
	case countParam(body, beside) > 0:
		r.setBody(appendQuery(nil, body, 0, name, value))
	default:
		r.query = appendQuery(nil, r.query, 0, name, value)
	}
}

func (r *request) setBody(b []byte) { r.body.kept, r.body.length = b, len(b) }

// splice returns b with n bytes at at replaced; b itself stays.
func splice(b []byte, at, n int, with []byte) []byte {
	return slices.Concat(b[:at], with, b[at+n:])
}

// withoutParam returns query without a parameter, each taken out with one ampersand
// beside it. query itself stays.
func withoutParam(query []byte, name string) []byte {
	var kept [][]byte
	for piece := range bytes.SplitSeq(query, ampersand) {
		if key, _, _ := bytes.Cut(piece, equals); string(key) != name {
			kept = append(kept, piece)
		}
	}
	return bytes.Join(kept, ampersand)
}

// findParam returns the first raw value of a parameter and where it begins.
func findParam(query []byte, name string) (value []byte, at int, ok bool) {
	for at = 0; at <= len(query); {
		piece, _, _ := bytes.Cut(query[at:], ampersand)
		key, value, found := bytes.Cut(piece, equals)
		if found && string(key) == name {
			return value, at + len(key) + 1, true
		}
		at += len(piece) + 1
	}
	return nil, 0, false
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
