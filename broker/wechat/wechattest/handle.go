package wechattest

import (
	"net/http"
	"strings"
)

// endpoint is a path with a behaviour of its own.
type endpoint struct {
	// method is demanded; empty takes any.
	method string
	// json: the body must be one JSON object.
	json  bool
	serve func(*Server, *call) reply
}

func post(serve func(*Server, *call) reply) endpoint {
	return endpoint{method: http.MethodPost, json: true, serve: serve}
}

func get(serve func(*Server, *call) reply) endpoint {
	return endpoint{method: http.MethodGet, serve: serve}
}

// endpointOf returns the behaviour of path.
func endpointOf(path string) endpoint {
	if name, found := strings.CutPrefix(path, "/cgi-bin/component/"); found {
		return componentEndpoint(name)
	}
	switch path {
	case "/cgi-bin/token":
		return endpoint{serve: (*Server).plainToken}
	case "/cgi-bin/stable_token":
		return post((*Server).stableToken)
	case "/cgi-bin/ticket/getticket":
		return endpoint{serve: (*Server).pageTicket}
	case "/cgi-bin/media/upload":
		return endpoint{method: http.MethodPost, serve: (*Server).mediaUpload}
	case "/cgi-bin/media/get":
		return get((*Server).mediaGet)
	case "/cgi-bin/message/custom/send":
		return post((*Server).customSend)
	case "/cgi-bin/clear_quota":
		return post((*Server).clearOwnQuota)
	case "/cgi-bin/clear_quota/v2":
		return post((*Server).clearAccountQuota)
	case "/cgi-bin/openapi/quota/get":
		return post((*Server).quotaGet)
	case "/cgi-bin/get_api_domain_ip", "/cgi-bin/getcallbackip":
		return get((*Server).ipList)
	case "/cgi-bin/callback/check":
		return post((*Server).callbackCheck)
	}
	return snsEndpoint(path)
}

func componentEndpoint(name string) endpoint {
	switch name {
	case "api_start_push_ticket":
		return post((*Server).startPushTicket)
	case "api_component_token":
		return post((*Server).componentToken)
	case "api_create_preauthcode":
		return post((*Server).preAuthCode)
	case "api_query_auth":
		return post((*Server).queryAuth)
	case "api_authorizer_token":
		return post((*Server).authorizerToken)
	case "api_get_authorizer_list":
		return post((*Server).authorizerList)
	case "api_get_authorizer_info":
		return post((*Server).authorizerInfo)
	case "get_authorizer_option", "api_get_authorizer_option",
		"set_authorizer_option", "api_set_authorizer_option":
		return post((*Server).authorizerOption)
	case "clear_quota":
		return post((*Server).clearOwnQuota)
	case "clear_quota/v2":
		return post((*Server).clearComponentQuota)
	default:
		return endpoint{serve: (*Server).generic}
	}
}

func snsEndpoint(path string) endpoint {
	switch path {
	case "/sns/jscode2session":
		return get((*Server).codeToSession)
	case "/sns/component/jscode2session":
		return get((*Server).componentCodeToSession)
	case "/sns/oauth2/access_token", "/sns/oauth2/component/access_token":
		return get((*Server).userToken)
	case "/sns/oauth2/refresh_token", "/sns/oauth2/component/refresh_token":
		return get((*Server).userRefresh)
	case "/sns/userinfo":
		return get((*Server).userInfo)
	case "/sns/auth":
		return get((*Server).userAuth)
	default:
		return endpoint{serve: (*Server).generic}
	}
}

// handle takes a call from its arrival to its answer: faults that strike before
// the call is read, the body, faults that hide the call from WeChat, the
// verdict, and faults that spoil the answer.
func (s *Server) handle(r *http.Request) reply {
	c := newCall(r)
	if fault, early := s.strikeEarly(c); early {
		return s.conclude(c, fault)
	}
	if err := c.readBody(s.opt.KeepBody); err != nil {
		return s.conclude(c, Fault{Mode: ResetAfter})
	}
	fault := s.strike(c)
	if err := sleep(r.Context(), fault.Latency); err != nil {
		return s.conclude(c, Fault{Mode: ResetAfter, Effect: fault.Effect})
	}
	rep := s.conclude(c, fault)
	if rep.end == Hang {
		s.hang(r.Context())
		rep.end = ResetAfter
	}
	return rep
}

// conclude judges the call, unless the fault keeps it from WeChat, spoils the
// answer, and makes the record.
func (s *Server) conclude(c *call, fault Fault) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.now()
	s.inspect(c)
	var rep reply
	if fault.takesEffect() {
		rep = s.judge(c)
	} else {
		s.identify(c)
	}
	s.spoil(&rep, fault)
	s.dress(&rep, c.path)
	s.record(c, &rep, fault)
	return rep
}

// identify finds whose call it is without judging it.
func (s *Server) identify(c *call) {
	for _, p := range c.query {
		if p.name == paramToken || p.name == paramComponent {
			c.token = s.purse.byText[p.value]
		}
	}
	c.subject = s.guessSubject(c)
}

// judge is WeChat's own verdict.
func (s *Server) judge(c *call) reply {
	if c.r.ContentLength < 0 {
		c.violation("a body in chunks")
		return page(Fault{Status: http.StatusPreconditionFailed})
	}
	if oddPath(c.path) {
		c.violation("a path that can be read in two ways: " + c.path)
		return s.refuse(codeBadURL)
	}
	e := endpointOf(c.path)
	if e.method == http.MethodGet && c.r.Method != http.MethodGet {
		return s.refuse(codeNeedGet)
	}
	if e.method == http.MethodPost && c.r.Method != http.MethodPost {
		return s.refuse(codeNeedPost)
	}
	if code := s.gate(c); code != codeOK {
		return s.refuse(code)
	}
	if e.json {
		if code := c.parse(); code != codeOK {
			return s.refuse(code)
		}
	}
	return e.serve(s, c)
}

// oddPath reports whether two parsers could disagree on the path.
func oddPath(path string) bool {
	lower := strings.ToLower(path)
	for _, odd := range []string{"//", "/./", "/../", "%2f", "%2e", "%5c", "%25", "%00", "\\", ";"} {
		if strings.Contains(lower, odd) {
			return true
		}
	}
	return strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..")
}

// generic answers every path without a behaviour of its own.
func (s *Server) generic(c *call) reply {
	if c.r.Method == http.MethodPost && !c.multipart {
		if code := c.parse(); code != codeOK && (code == codeEmptyBody || looksLikeJSON(c)) {
			return s.refuse(code)
		}
	}
	return ok()
}

// looksLikeJSON reports whether the body claims to be JSON; SDKs often send it
// as text or without a type.
func looksLikeJSON(c *call) bool {
	if strings.Contains(c.r.Header.Get("Content-Type"), "json") {
		return true
	}
	return strings.HasPrefix(strings.TrimLeft(string(c.body), " \t\r\n"), "{")
}
