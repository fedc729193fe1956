package proxy

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
)

// handleLife is the expires_in of a handle, in seconds. It does not expire; this
// is what SDKs expect of a token.
const handleLife = 7200

// placeholder is what an app gets in place of a refresh token.
const placeholder = "held_by_wxsidecar"

// localHandler serves a path in its own way.
type localHandler func(*request, *callers, *fasthttp.Response) *fault

// localHandlers are the paths with which SDKs fetch tokens or send secrets. The
// first five are answered from the cache and never forwarded.
func (s *Server) localHandlers() map[string]localHandler {
	m := map[string]localHandler{
		"/cgi-bin/token":                          s.serveToken,
		"/cgi-bin/stable_token":                   s.serveToken,
		"/cgi-bin/component/api_component_token":  s.serveComponentToken,
		"/cgi-bin/component/api_authorizer_token": s.serveAuthorizerToken,
		"/cgi-bin/ticket/getticket":               s.serveTicket,
	}
	if s.exchange == nil {
		return m
	}
	m["/cgi-bin/component/api_query_auth"] = s.serveQueryAuth
	m["/cgi-bin/component/api_get_authorizer_info"] = s.serveCaptured
	m["/cgi-bin/component/api_get_authorizer_list"] = s.serveCaptured
	for path, fields := range secretPaths {
		m[path] = func(r *request, c *callers, resp *fasthttp.Response) *fault {
			return s.serveSecret(r, c, resp, fields)
		}
	}
	for path := range loginForms {
		m[path] = s.serveLogin
	}
	return m
}

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

// serveTicket answers with a ticket for an account's pages. It is the real one, as
// pages sign with it. Types that are not kept go to WeChat.
//
// See https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html
func (s *Server) serveTicket(r *request, c *callers, resp *fasthttp.Response) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	if f := r.refuseTwice("type"); f != nil {
		return f
	}
	if r.params.named&namedComponent != 0 {
		return noPageTickets()
	}
	appid, f := s.checkAccount(r, c)
	if f != nil {
		return f
	}
	kind := broker.KindJSAPITicket
	switch r.field("type") {
	case "jsapi", "":
	case "wx_card":
		kind = broker.KindWXCardTicket
	default:
		if r.voidHandle() {
			return voidHandle()
		}
		return s.forwardFor(r, resp, appid)
	}
	ticket, f := s.token(broker.Key{Kind: kind, AppID: appid})
	if f != nil {
		return f
	}
	b := append([]byte(nil), `{"errcode":0,"errmsg":"ok","ticket":`...)
	b = appendJSONText(b, ticket.Value())
	s.answerJSON(r, resp, appendExpiry(b, s.left(ticket), ""))
	return nil
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

func appendExpiry(b []byte, seconds int, more string) []byte {
	b = strconv.AppendInt(append(b, `,"expires_in":`...), int64(seconds), 10)
	return append(append(b, more...), '}')
}

// left returns the rest of a token's life in seconds, at least one.
func (s *Server) left(tok *broker.Token) int {
	return max(int(tok.DiesAt.Sub(s.source.Now())/time.Second), 1)
}

func (s *Server) answerJSON(r *request, resp *fasthttp.Response, body []byte) {
	resp.SetStatusCode(fasthttp.StatusOK)
	resp.Header.SetContentType("application/json; charset=utf-8")
	resp.SetBodyRaw(body)
	r.result = resultOK
}

// admitBySecret reads the form that the call carries, and takes the secret in it
// for the caller's key where callers are configured and no key came otherwise.
func (s *Server) admitBySecret(r *request, c *callers, fields secretFields) *fault {
	if f := s.readForm(r); f != nil {
		return f
	}
	r.formAppID = r.field(fields.appid) // for the log, should the caller be refused
	// One of two could be the caller's key, which is not WeChat's to see.
	if f := r.refuseTwice(fields.secret); f != nil {
		return f
	}
	return c.admitBySecret(r, r.field(fields.secret))
}

// takesSecret reports whether a path carries a secret, which may be a caller's key.
func takesSecret(path string) bool {
	switch path {
	case "/cgi-bin/token", "/cgi-bin/stable_token", "/cgi-bin/component/api_component_token":
		return true
	}
	_, carries := secretPaths[path]
	return carries
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

// formBytes is how long a body may be that must be read whole.
const formBytes = 1 << 20

// readForm reads the whole body, which must be short. How much is kept to be sent
// again does not matter here, so that a small limits.replay_body stops no SDK. Any
// of these forms may name a component, so none may name it blank.
func (s *Server) readForm(r *request) *fault {
	if f := s.keepBody(r, formBytes); f != nil {
		return f
	}
	switch {
	case r.body.whole:
		r.body.join()
		return r.refuseBlank(paramComponentAppID)
	case r.body.notKept == replayNoMemory:
		return noReplayMemory()
	default:
		return bodyTooLarge(formBytes)
	}
}

// field returns a text of the call's form: of the JSON body, of the query, or of
// a form-encoded body; empty where there is none, or null.
func (r *request) field(name string) string {
	if v := gjson.GetBytes(r.body.kept, name); v.Type == gjson.String {
		return v.Str
	}
	if v := queryValue(r.query, name); v != "" {
		return v
	}
	return queryValue(r.body.kept, name)
}

// appIDField returns the appid that the call's form holds under name, and nothing
// where the form has no such name.
func (r *request) appIDField(name string) (string, *fault) {
	if f := r.refuseBlank(name); f != nil {
		return "", f
	}
	appid := r.field(name)
	if appid != "" {
		r.formAppID = appid
	}
	return appid, nil
}

// refuseBlank refuses a call whose form has a name of an account without an appid: it
// is a variable that is not set, and no wish for the default account.
func (r *request) refuseBlank(name string) *fault {
	if strings.TrimSpace(r.field(name)) == "" && r.hasField(name) {
		return holdsNo("appid", name)
	}
	return nil
}

// hasField reports whether the call's form has a name, whatever its value.
func (r *request) hasField(name string) bool {
	if countParam(r.query, name) > 0 {
		return true
	}
	if form := gjson.ParseBytes(r.body.kept); form.IsObject() {
		return form.Get(name).Exists()
	}
	return countParam(r.body.kept, name) > 0
}

// refuseTwice refuses a call whose form holds a name more than once: WeChat could
// read another value than we do.
func (r *request) refuseTwice(name string) *fault {
	n := countParam(r.query, name)
	if v := gjson.ParseBytes(r.body.kept); v.IsObject() {
		v.ForEach(func(key, _ gjson.Result) bool {
			if key.Str == name {
				n++
			}
			return true
		})
	} else {
		n += countParam(r.body.kept, name)
	}
	if n > 1 {
		return badBody(name + " is given twice")
	}
	return nil
}

func countParam(query []byte, name string) int {
	n := 0
	for piece := range bytes.SplitSeq(query, ampersand) {
		if key, _, _ := bytes.Cut(piece, equals); string(key) == name {
			n++
		}
	}
	return n
}

// queryValue returns the first value of a parameter, decoded.
func queryValue(query []byte, name string) string {
	value, _, ok := findParam(query, name)
	if !ok {
		return ""
	}
	text, err := url.QueryUnescape(string(value))
	if err != nil {
		return ""
	}
	return text
}
