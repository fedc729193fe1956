package wechattest

import (
	"slices"
	"strings"
)

const (
	// handlePrefix begins what the sidecar gives to apps in a token's place.
	handlePrefix = "wxs_"
	// appTokenPrefix begins what the apps of tests send as a token of their own.
	appTokenPrefix = "APP-"
)

// hopByHop is the headers that end at a proxy, by RFC 9110, 7.6.1, and what apps
// say to their proxy.
var hopByHop = []string{
	"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// secretPaths is where a secret belongs, by the member or parameter it comes in.
var secretPaths = map[string][]string{
	"component_appsecret":      {"/cgi-bin/component/api_component_token"},
	"component_secret":         {"/cgi-bin/component/api_start_push_ticket"},
	"component_verify_ticket":  {"/cgi-bin/component/api_component_token"},
	"authorizer_refresh_token": {"/cgi-bin/component/api_authorizer_token"},
	"appsecret":                {"/cgi-bin/clear_quota/v2", "/cgi-bin/component/clear_quota/v2"},
	"secret": {
		"/cgi-bin/token", "/cgi-bin/stable_token",
		"/sns/jscode2session", "/sns/oauth2/access_token",
	},
}

// inspect notes what a good client never sends, whatever the answer will be.
func (s *Server) inspect(c *call) {
	s.inspectHeaders(c)
	s.inspectPlaceholders(c)
	for _, p := range c.query {
		s.inspectValue(c, "query parameter", p.name, p.value)
	}
	if strings.Contains(c.uri, "#") {
		c.violation("a fragment in the request target of " + c.path)
	}
	_ = c.parse()
	for name := range c.fields {
		if value, isText := c.text(name); isText {
			s.inspectValue(c, "body member", name, value)
		}
	}
}

func (s *Server) inspectHeaders(c *call) {
	for name, values := range c.r.Header {
		lower := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		switch {
		case lower == "x-wechat-appid" || lower == "x-wechat-component" || strings.HasPrefix(lower, "x-wxsidecar-"):
			c.violation("the sidecar's control header " + name + " reached WeChat")
		case slices.Contains(hopByHop, name):
			c.violation("the hop-by-hop header " + name + " reached WeChat")
		case name == "Connection" && !plainConnection(values):
			c.violation("a Connection header with more than close or keep-alive reached WeChat")
		}
		for _, value := range values {
			s.inspectHeaderValue(c, name, value)
		}
	}
	if len(c.r.Trailer) > 0 {
		c.violation("the hop-by-hop header Trailer reached WeChat")
	}
}

func plainConnection(values []string) bool {
	for _, v := range values {
		if !strings.EqualFold(v, "close") && !strings.EqualFold(v, "keep-alive") {
			return false
		}
	}
	return true
}

// inspectHeaderValue looks for secrets and placeholders among the words of a
// header.
func (s *Server) inspectHeaderValue(c *call, name, value string) {
	words := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ;,=\"&?", r) })
	for _, word := range words {
		if what := s.secretName(word); what != "" {
			c.violation(what + " in the header " + name)
		}
		if what := placeholderName(word); what != "" {
			c.violation(what + " reached WeChat in the header " + name)
		}
	}
}

// inspectPlaceholders looks for what only the app and the sidecar know, in the
// query and in bodies that carry credentials.
func (s *Server) inspectPlaceholders(c *call) {
	for _, p := range c.query {
		if what := placeholderName(p.value); what != "" {
			c.violation(what + " reached WeChat in the query of " + c.path)
		}
	}
	if !carriesCredentials(c.path) {
		return
	}
	_ = c.parse()
	for name := range c.fields {
		value, _ := c.text(name)
		if what := placeholderName(value); what != "" {
			c.violation(what + " reached WeChat in the body of " + c.path)
		}
	}
}

// carriesCredentials reports whether a body of path is the platform's own
// affair, and not an app's text.
func carriesCredentials(path string) bool {
	for _, paths := range secretPaths {
		if slices.Contains(paths, path) {
			return true
		}
	}
	return false
}

// placeholderName says what value is if it must not leave the sidecar. An app's
// token is named in full, so that a test can tell which; it is no secret.
func placeholderName(value string) string {
	switch {
	case strings.HasPrefix(value, appTokenPrefix):
		return "an app-sent token " + value[:min(len(value), 80)]
	case strings.HasPrefix(value, handlePrefix):
		return "a sidecar's handle"
	default:
		return ""
	}
}

// inspectValue notes a secret in a place where it does not belong.
func (s *Server) inspectValue(c *call, where, name, value string) {
	if slices.Contains(secretPaths[name], c.path) {
		return
	}
	if where == "query parameter" && (name == paramToken || name == paramComponent) {
		return // the gate judges tokens
	}
	if what := s.secretName(value); what != "" {
		c.violation(what + " in the " + where + " " + name + " of " + c.path)
	}
}

// secretName says what secret of WeChat's or of its clients value is; empty for
// none.
func (s *Server) secretName(value string) string {
	if len(value) < 8 {
		return ""
	}
	if what := s.settings[value]; what != "" {
		return what
	}
	if t := s.purse.byText[value]; t != nil && t.key.kind.server() {
		return "a " + string(t.key.kind) + " token"
	}
	if s.refreshes[value] != nil {
		return "a refresh token"
	}
	if s.tickets[value] != nil {
		return "a component_verify_ticket"
	}
	return ""
}

// server reports whether tokens of the kind are a server's, not a user's.
func (k Kind) server() bool {
	switch k {
	case KindComponent, KindAuthorizer, KindAccount, KindStable:
		return true
	default:
		return false
	}
}
