package proxy

import (
	"errors"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// loginForms maps the login calls that an account makes in its own name to those that a
// component makes for an account that has authorised it.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/miniprogram-management/login/thirdpartyCode2Session.html
// and https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Official_Accounts/official_account_website_authorization.html
var loginForms = map[string]string{
	"/sns/jscode2session":       "/sns/component/jscode2session",
	"/sns/oauth2/access_token":  "/sns/oauth2/component/access_token",
	"/sns/oauth2/refresh_token": "/sns/oauth2/component/refresh_token",
}

// serveLogin makes a login for an authorizer in the component's form, since the
// authorizer's secret is not known here. A login for any other account is forwarded in its
// own form, with the configured secret if it carries one.
func (s *Server) serveLogin(r *request, c *callers, resp *fasthttp.Response) *fault {
	appid, f := s.admitLogin(r, c)
	if f != nil {
		return f
	}
	if f := c.mayCall(r, appid, ""); f != nil {
		return f
	}
	a, f := s.authorizer(r, appid)
	if f != nil {
		return f
	}
	if a.Kind != broker.KindAuthorizer {
		if fields, carries := secretPaths[r.route.Pattern]; carries {
			return s.sendSecret(r, c, resp, fields, appid)
		}
		return s.serveAccount(r, c, resp)
	}
	if f := s.useComponentLogin(r, a); f != nil {
		return f
	}
	// deny may name either form of the call.
	if f := c.notDenied(r, appid, a.Component); f != nil {
		return f
	}
	return s.forwardFor(r, resp, appid)
}

// admitLogin reads the form of a login and returns the account that it is for. The secret
// in the form may be the caller's key. A refresh carries none.
func (s *Server) admitLogin(r *request, c *callers) (appid string, f *fault) {
	if fields, carries := secretPaths[r.route.Pattern]; carries {
		f = s.admitBySecret(r, c, fields)
	} else {
		f = s.readForm(r)
	}
	if f == nil {
		f = r.refuseTwice("appid")
	}
	if f != nil {
		return "", f
	}
	return r.appIDField("appid")
}

// authorizer returns the account of appid if it is an authorizer, else the zero
// Account.
func (s *Server) authorizer(r *request, appid string) (broker.Account, *fault) {
	if _, own := s.exchange.Secret(appid); own || !plausibleAppID(appid) {
		return broker.Account{}, nil
	}
	choice, f := s.choice(r)
	if f != nil {
		return broker.Account{}, f
	}
	a, err := s.source.Account(s.tokenContext(), appid, choice)
	unknown := choice.Component == "" && errors.Is(err, broker.ErrUnknownAccount)
	switch {
	case unknown, err == nil && a.Kind != broker.KindAuthorizer:
		return broker.Account{}, nil
	case err != nil:
		return broker.Account{}, s.accountFault(r, err, appid, choice)
	}
	return a, nil
}

// useComponentLogin turns a login for a, which has authorised its component, into the
// component's form. All other parameters stay as they are.
func (s *Server) useComponentLogin(r *request, a broker.Account) *fault {
	for _, name := range []string{"secret", paramComponentAppID} {
		if f := r.refuseTwice(name); f != nil {
			return f
		}
		if gjson.GetBytes(r.body.buffered, name).Exists() {
			return badBody("a login takes " + name + " in the query, or in a form-encoded body, not in JSON")
		}
	}
	r.dropParam("secret")
	switch {
	case r.hasField(paramComponentAppID): // it is a's, which was chosen by it
	case countParam(r.query, "appid") > 0:
		r.query = appendQuery(nil, r.query, 0, paramComponentAppID, a.Component)
	case gjson.ValidBytes(r.body.buffered):
		return badBody("a login takes appid in the query, or in a form-encoded body, not in JSON")
	default:
		r.setBody(appendQuery(nil, r.body.buffered, 0, paramComponentAppID, a.Component))
	}
	r.path = []byte(loginForms[r.route.Pattern])
	r.route = s.table.Match(r.path)
	r.cred = credential{
		key:   broker.Key{Kind: broker.KindComponent, AppID: a.Component},
		param: routes.ComponentAccessToken, drop: hasAccessToken | hasComponentToken | hasFromAppID,
	}
	return nil
}
