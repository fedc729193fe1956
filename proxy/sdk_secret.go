package proxy

import "github.com/valyala/fasthttp"

// secretFields are the names under which a call carries an appid and its secret.
type secretFields struct{ appid, secret string }

// secretPaths are the calls that carry a secret for another purpose than to fetch a token.
var secretPaths = map[string]secretFields{
	"/cgi-bin/clear_quota/v2":                  {"appid", "appsecret"},
	"/cgi-bin/component/clear_quota/v2":        {"component_appid", "appsecret"},
	"/cgi-bin/component/api_start_push_ticket": {"component_appid", "component_secret"},
	"/sns/jscode2session":                      {"appid", "secret"},
	"/sns/oauth2/access_token":                 {"appid", "secret"},
}

// serveSecret replaces the secret that the app sent by the configured one, and forwards
// the call.
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
	if f := c.mayCall(r, appid, ""); f != nil {
		return f
	}
	return s.sendSecret(r, c, resp, fields, appid)
}

// sendSecret forwards a call of the account appid with the configured secret, which may be a
// component's.
func (s *Server) sendSecret(r *request, c *callers, resp *fasthttp.Response, fields secretFields, appid string) *fault {
	choice, f := s.choice(r)
	if f != nil {
		return f
	}
	value, known := s.exchange.Secret(appid)
	switch {
	case known:
		a, f := s.account(r, appid, choice)
		if f != nil {
			return f
		}
		if f := r.caller.mayActThrough(a.Component); f != nil {
			return f
		}
		r.injected.setSecret(value.Reveal())
		r.setField(fields.secret, value.Reveal(), fields.appid)
	case c.isKey(r.field(fields.secret)):
		// The field has the caller's key, which WeChat must not see.
		return noSecret(fields.appid, appid)
	}
	if f := s.identify(r); f != nil {
		return f
	}
	return s.forward(r, resp)
}

// admitBySecret reads the call's form. If callers are configured and the call shows no
// key otherwise, the secret in the form must be the caller's key.
func (s *Server) admitBySecret(r *request, c *callers, fields secretFields) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	r.formAppID = r.field(fields.appid) // for the log, should the caller be refused
	// One of two could be the caller's key, which WeChat must not see.
	if f := r.refuseTwice(fields.secret); f != nil {
		return f
	}
	return c.admitBySecret(r, r.field(fields.secret))
}

// takesSecret reports whether calls of a path carry a secret, which may be a caller's key.
func takesSecret(path string) bool {
	switch path {
	case "/cgi-bin/token", "/cgi-bin/stable_token", "/cgi-bin/component/api_component_token":
		return true
	}
	_, carries := secretPaths[path]
	return carries
}
