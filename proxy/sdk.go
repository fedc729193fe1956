package proxy

import (
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// handleLife is the expires_in of a handle, in seconds. A handle does not expire; SDKs
// expect this of a token.
const handleLife = 7200

// placeholder replaces refresh tokens, and secrets, in what apps get.
const placeholder = "held_by_wxsidecar"

// localHandler serves a path that is not simply forwarded.
type localHandler func(*request, *callers, *fasthttp.Response) *fault

// localHandlers returns the handlers of the paths with which SDKs fetch tokens or send
// secrets. The first five are answered from memory.
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
	m["/cgi-bin/component/api_get_authorizer_info"] = s.serveMasked
	m["/cgi-bin/component/api_get_authorizer_list"] = s.serveMasked
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

// handlersByRoute returns the handlers of local by the ID of their route. The error names a path
// that has no route of its own, whose calls would be forwarded.
func handlersByRoute(table *routes.Table, local map[string]localHandler) ([]localHandler, error) {
	byRoute := make([]localHandler, table.Len())
	for path, handler := range local {
		r := table.Match([]byte(path))
		if r.Pattern != path {
			return nil, fmt.Errorf("the catalogue lacks %s, which the sidecar serves in a way of its own", path)
		}
		byRoute[r.ID] = handler
	}
	return byRoute, nil
}

func appendExpiry(b []byte, seconds int, more string) []byte {
	b = strconv.AppendInt(append(b, `,"expires_in":`...), int64(seconds), 10)
	return append(append(b, more...), '}')
}

// secondsLeft returns how long a token is still valid, at least one second.
func (s *Server) secondsLeft(tok *broker.Token) int {
	return max(int(tok.DiesAt().Sub(s.source.Now())/time.Second), 1)
}

func (s *Server) writeJSON(r *request, resp *fasthttp.Response, body []byte) {
	resp.SetStatusCode(fasthttp.StatusOK)
	resp.Header.SetContentType("application/json; charset=utf-8")
	resp.SetBodyRaw(body)
	r.result = resultOK
}
