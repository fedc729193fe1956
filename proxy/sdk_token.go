package proxy

import (
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
)

// serveToken answers for an own account as WeChat does. It answers for an authorizer in
// the same way, so that an SDK for own accounts can serve a merchant.
//
// See https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
func (s *Server) serveToken(r *request, c *callers, resp *fasthttp.Response) *fault {
	f := s.admitBySecret(r, c, secretFields{"appid", "secret"})
	if f != nil {
		return f
	}
	a, f := s.accountFromForm(r, "appid")
	if f != nil {
		return f
	}
	if a.Kind == broker.KindComponent {
		return componentAsked(a.AppID)
	}
	if f := s.mayFetch(r, c, a.Key()); f != nil {
		return f
	}
	return s.writeToken(r, resp, a.Key(), "access_token", "")
}

// serveComponentToken answers with the component's token.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getComponentAccessToken.html
func (s *Server) serveComponentToken(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.admitBySecret(r, c, secretFields{paramComponentAppID, "component_appsecret"}); f != nil {
		return f
	}
	choice, f := s.choice(r)
	if f != nil {
		return f
	}
	component, f := s.componentFor(r, choice)
	if f != nil {
		return f
	}
	key := broker.Key{Kind: broker.KindComponent, AppID: component}
	if f := s.mayFetch(r, c, key); f != nil {
		return f
	}
	return s.writeToken(r, resp, key, "component_access_token", "")
}

// serveAuthorizerToken answers with an authorizer's token. It ignores the refresh token
// that the app sends, and returns a placeholder for one.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerAccessToken.html
func (s *Server) serveAuthorizerToken(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	a, f := s.accountFromForm(r, "authorizer_appid")
	if f != nil {
		return f
	}
	if a.Kind == broker.KindComponent {
		return notAuthorizer(a.AppID)
	}
	if f := s.mayFetch(r, c, a.Key()); f != nil {
		return f
	}
	return s.writeToken(r, resp, a.Key(), "authorizer_access_token", `,"authorizer_refresh_token":"`+placeholder+`"`)
}

// mayFetch refuses a caller that may not fetch a handle, or a token if tokens are exposed,
// of key. Fetching a handle needs no place in Allow, since a handle permits no more
// than its caller may do.
func (s *Server) mayFetch(r *request, c *callers, key broker.Key) *fault {
	if s.exposeTokens {
		return c.mayCall(r, key.AppID, componentOf(key))
	}
	return c.notDenied(r, key.AppID, componentOf(key))
}

// writeToken answers with a handle for key, or with its token if tokens are exposed. It
// issues a handle even while there is no token; calls with the handle then say why.
func (s *Server) writeToken(r *request, resp *fasthttp.Response, key broker.Key, field, more string) *fault {
	value, life := "", handleLife
	if s.exposeTokens {
		tok, f := s.token(key)
		if f != nil {
			return f
		}
		value, life = tok.Value(), s.secondsLeft(tok)
	} else {
		value = s.keys.issue(key, r.caller)
	}
	b := append(append([]byte(`{"`), field...), `":`...)
	s.writeJSON(r, resp, appendExpiry(appendJSONText(b, value), life, more))
	return nil
}

// accountFromForm returns the account whose appid stands in the form, else the one that
// the call names in another way, else the default.
func (s *Server) accountFromForm(r *request, field string) (broker.Account, *fault) {
	if f := r.refuseTwice(field); f != nil {
		return broker.Account{}, f
	}
	appid, f := r.appIDField(field)
	if f != nil {
		return broker.Account{}, f
	}
	choice, f := s.choice(r)
	if f != nil {
		return broker.Account{}, f
	}
	if appid != "" {
		return s.account(r, appid, choice)
	}
	if a, explicit, f := s.namedAccount(r, choice); explicit || f != nil {
		return a, f
	}
	return s.defaultAccount(r, choice)
}
