package wechattest

import (
	"net/url"
	"strings"
	"time"
)

// Names of the token parameters.
const (
	paramToken     = "access_token"
	paramComponent = "component_access_token"
)

// gate judges the token of a call: that the right kind came in the right
// parameter and lives. It returns WeChat's code, 0 to let the call in.
func (s *Server) gate(c *call) int {
	rule := RuleOf(c.path, c.get("action"))
	given, code := s.givenTokens(c)
	if code != codeOK {
		return code
	}
	if rule == RuleNone {
		s.noToken(c, given)
		return codeOK
	}
	if len(given) == 0 || given[0].value == "" || !rule.takesName(given[0].name) {
		return codeTokenMissing
	}
	t, code := s.resolve(given[0].value, c.now)
	c.token = t
	if rule == RuleUser && t != nil && t.key.kind != KindUser {
		c.violation("a platform's token on the user path " + c.path)
		return codeBadCredential
	}
	if code != codeOK {
		return code
	}
	if code := rule.admits(t.key.kind, given[0].name, c.path); code != codeOK {
		return code
	}
	return s.admit(c, t)
}

// givenTokens returns the token parameters of the query. Two of them, or one in
// a form, are refused.
func (s *Server) givenTokens(c *call) ([]param, int) {
	var given []param
	for _, p := range c.query {
		switch {
		case p.name == paramToken || p.name == paramComponent:
			given = append(given, p)
		case strings.EqualFold(p.name, paramToken) || strings.EqualFold(p.name, paramComponent):
			c.violation("a token parameter in odd spelling: " + p.name)
		}
	}
	if len(given) > 1 {
		c.violation("more than one token in the query of " + c.path)
		return given, codeDuplicateKey
	}
	if formToken(c) {
		c.violation("a token in the form body of " + c.path)
		return given, codeDuplicateKey
	}
	return given, codeOK
}

// formToken reports whether an URL-encoded body holds a token.
func formToken(c *call) bool {
	if !strings.HasPrefix(strings.ToLower(c.r.Header.Get("Content-Type")), "application/x-www-form-urlencoded") {
		return false
	}
	form, _ := url.ParseQuery(string(c.body))
	return form.Has(paramToken) || form.Has(paramComponent)
}

// noToken notes a real token on a path that takes none.
func (s *Server) noToken(c *call, given []param) {
	for _, p := range given {
		if t := s.purse.byText[p.value]; t != nil {
			c.token = t
			c.violation("a " + string(t.key.kind) + " token on " + c.path + ", which takes none")
		}
	}
}

// takesName reports whether a token may come under name.
func (r Rule) takesName(name string) bool {
	switch r {
	case RuleComponentName:
		return name == paramComponent
	case RuleComponent, RuleEither:
		return true
	default:
		return name == paramToken
	}
}

// admits returns the code for a living token of kind on a path of the rule.
func (r Rule) admits(kind Kind, name, path string) int {
	switch kind {
	case KindComponent:
		return r.admitsComponent(path)
	case KindAuthorizer, KindAccount, KindStable:
		if r == RuleComponent || r == RuleComponentName || name == paramComponent {
			return codeNeedComponent
		}
		return codeOK
	case KindUser:
		if r == RuleUser {
			return codeOK
		}
	}
	return codeBadCredential
}

func (r Rule) admitsComponent(path string) int {
	switch {
	case r != RuleAccount:
		return codeOK
	case strings.HasPrefix(path, "/cgi-bin/component/"):
		return codeNeedAccount
	default:
		return codeNoPermission
	}
}

// resolve finds the token of that text. It returns the token even where it is
// dead, for the record.
func (s *Server) resolve(text string, now time.Time) (*token, int) {
	if !wellFormed(text) {
		return nil, codeBadToken
	}
	t := s.purse.byText[text]
	switch {
	case t == nil:
		return nil, codeBadCredential
	case t.key.kind == KindAuthorizer && !s.authorized(t):
		return t, codeNotAuthorized
	case t.alive(now):
		return t, codeOK
	case t.displaced:
		return t, codeBadCredential
	default:
		return t, codeTokenExpired
	}
}

// authorized reports whether the account of t still authorises its component.
func (s *Server) authorized(t *token) bool {
	c := s.components[t.key.component]
	if c == nil {
		return false
	}
	a := c.authorizers[t.key.appID]
	return a != nil && a.listed
}

// admit checks what does not depend on the token's kind: the caller's address
// and the day's quota.
func (s *Server) admit(c *call, t *token) int {
	if p := s.components[t.key.component]; p != nil && p.ipRefused {
		return codeComponentIP
	}
	return s.spend(c, t.key.appID)
}
