package proxy

import (
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
)

// serveToken answers for an own account as WeChat does, and for an authorizer in
// the same way, so that an SDK made for an account's own secret serves a merchant.
//
// See https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
func (s *Server) serveToken(r *request, c *callers, resp *fasthttp.Response) *fault {
	f := s.admitBySecret(r, c, secretFields{"appid", "secret"})
	if f != nil {
		return f
	}
	a, f := s.accountIn(r, "appid")
	if f != nil {
		return f
	}
	if a.Kind == broker.KindComponent {
		return componentAsked(a.AppID)
	}
	if f := s.mayFetch(r, c, a.AppID); f != nil {
		return f
	}
	return s.giveToken(r, resp, a.Key(), "access_token", "")
}

// serveComponentToken answers with the component's token.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getComponentAccessToken.html
func (s *Server) serveComponentToken(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.admitBySecret(r, c, secretFields{paramComponentAppID, "component_appsecret"}); f != nil {
		return f
	}
	component, f := s.componentIn(r)
	if f != nil {
		return f
	}
	if f := s.mayFetch(r, c, component); f != nil {
		return f
	}
	return s.giveToken(r, resp, broker.Key{Kind: broker.KindComponent, AppID: component}, "component_access_token", "")
}

// componentIn returns the component whose appid stands in the form, else that of the
// account that the call names in another way, else the default.
func (s *Server) componentIn(r *request) (string, *fault) {
	appid, f := r.appIDField(paramComponentAppID)
	if f != nil {
		return "", f
	}
	if appid != "" {
		return s.component(appid)
	}
	named, explicit, f := s.namedAccount(r)
	if f != nil {
		return "", f
	}
	return s.componentFor(r, named, explicit)
}

// serveAuthorizerToken answers with an authorizer's token. The refresh token
// that the app sends does not count, and the one that it gets is none.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerAccessToken.html
func (s *Server) serveAuthorizerToken(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	a, f := s.accountIn(r, "authorizer_appid")
	if f != nil {
		return f
	}
	if a.Kind == broker.KindComponent {
		return notAuthorizer(a.AppID)
	}
	if f := s.mayFetch(r, c, a.AppID); f != nil {
		return f
	}
	return s.giveToken(r, resp, a.Key(), "authorizer_access_token", `,"authorizer_refresh_token":"`+placeholder+`"`)
}

// mayFetch refuses what the caller may not fetch by a path that gives out handles, or
// tokens where these are exposed. A handle can do no more than its caller, so that it
// needs no place in Allow.
func (s *Server) mayFetch(r *request, c *callers, appid string) *fault {
	if s.expose {
		return c.mayCall(r, appid)
	}
	return c.notDenied(r, appid)
}

// giveToken answers with a handle for key, or with its token where tokens are
// exposed. A handle is given even while there is no token: the calls that use it
// then say why.
func (s *Server) giveToken(r *request, resp *fasthttp.Response, key broker.Key, field, more string) *fault {
	value, life := "", handleLife
	if s.expose {
		tok, f := s.token(key)
		if f != nil {
			return f
		}
		value, life = tok.Value(), s.left(tok)
	} else {
		value = s.keys.make(key.Kind, key.AppID, r.caller)
	}
	b := append(append([]byte(`{"`), field...), `":`...)
	s.answerJSON(r, resp, appendExpiry(appendJSONText(b, value), life, more))
	return nil
}

// accountIn returns the account whose appid stands in the form, else the one that
// the call names in another way, else the default.
func (s *Server) accountIn(r *request, field string) (broker.Account, *fault) {
	if f := r.refuseTwice(field); f != nil {
		return broker.Account{}, f
	}
	appid, f := r.appIDField(field)
	if f != nil {
		return broker.Account{}, f
	}
	if appid == "" {
		if a, explicit, f := s.namedAccount(r); explicit || f != nil {
			return a, f
		}
		return s.defaultAccount()
	}
	return s.account(appid)
}
