package wechattest

import "time"

// Kind is what sort of token a call carried.
type Kind string

// The kinds of token.
const (
	KindNone       Kind = ""
	KindComponent  Kind = "component"
	KindAuthorizer Kind = "authorizer"
	// KindAccount is a token of /cgi-bin/token, KindStable one of
	// /cgi-bin/stable_token. Neither invalidates the other.
	KindAccount Kind = "account"
	KindStable  Kind = "stable"
	// KindUser is a user's OAuth token.
	KindUser Kind = "user"
	// KindJSAPI and KindWXCard are page tickets; as access tokens they are
	// worth nothing.
	KindJSAPI  Kind = "jsapi"
	KindWXCard Kind = "wx_card"
	// kindUserRefresh is a user's refresh token.
	kindUserRefresh Kind = "user_refresh"
)

// tokenKey names a succession of tokens, each of which displaces the one before.
type tokenKey struct {
	kind             Kind
	component, appID string
}

type token struct {
	key        tokenKey
	text       string
	generation uint64
	born, dies time.Time
	// displaced: a later token cut the life short, so a dead one is answered
	// 40001 instead of 42001.
	displaced bool
	openID    string
}

func (t *token) alive(now time.Time) bool { return t != nil && now.Before(t.dies) }

// left returns the whole seconds that the token lives on, at least 1.
func (t *token) left(now time.Time) int {
	return int(max(time.Second, t.dies.Sub(now)) / time.Second)
}

// keepTokens bounds the tokens that are remembered. The oldest dead ones are
// forgotten first.
const keepTokens = 1 << 20

// purse holds all tokens ever issued, up to a limit.
type purse struct {
	byText map[string]*token
	newest map[tokenKey]*token
	// older is the displaced ones of a key that may still live.
	older map[tokenKey][]*token
	order []*token
	keep  int
}

func newPurse(keep int) purse {
	return purse{
		byText: map[string]*token{},
		newest: map[tokenKey]*token{},
		older:  map[tokenKey][]*token{},
		keep:   keep,
	}
}

// issue adds a token of key and lets the former ones die after overlap.
func (p *purse) issue(key tokenKey, text string, now time.Time, life, overlap time.Duration) *token {
	t := &token{key: key, text: text, generation: 1, born: now, dies: now.Add(life)}
	if former := p.newest[key]; former != nil {
		t.generation = former.generation + 1
		p.displace(key, now, overlap)
	}
	p.add(t)
	p.newest[key] = t
	return t
}

// add remembers a token that displaces nothing.
func (p *purse) add(t *token) {
	p.byText[t.text] = t
	p.order = append(p.order, t)
	p.forget(t.born)
}

// displace cuts the lives of all living tokens of key to overlap.
func (p *purse) displace(key tokenKey, now time.Time, overlap time.Duration) {
	living := p.older[key][:0]
	for _, t := range append(p.older[key], p.newest[key]) {
		if !t.alive(now) {
			continue
		}
		if end := now.Add(overlap); end.Before(t.dies) {
			t.dies, t.displaced = end, true
		}
		if t.alive(now) {
			living = append(living, t)
		}
	}
	if len(living) == 0 {
		delete(p.older, key)
		return
	}
	p.older[key] = living
}

// expire ends the living tokens of key as if their time had come.
func (p *purse) expire(key tokenKey, now time.Time) {
	for _, t := range append(p.older[key], p.newest[key]) {
		if t.alive(now) {
			t.dies = now
		}
	}
	delete(p.older, key)
}

// current returns the newest token of key if it lives.
func (p *purse) current(key tokenKey, now time.Time) *token {
	if t := p.newest[key]; t.alive(now) {
		return t
	}
	return nil
}

// forget drops the oldest dead tokens above the limit.
func (p *purse) forget(now time.Time) {
	for len(p.byText) > p.keep && len(p.order) > 0 {
		t := p.order[0]
		if t.alive(now) {
			return
		}
		p.order = p.order[1:]
		delete(p.byText, t.text)
	}
}

// give answers a token call: a new token, or with StickyTokens the present one
// until its last twenty-fourth.
func (s *Server) give(key tokenKey, now time.Time) *token {
	if s.opt.StickyTokens {
		if t := s.fresh(key, now); t != nil {
			return t
		}
	}
	return s.purse.issue(key, s.mint.token(), now, s.opt.TokenLife, s.opt.Overlap)
}

// fresh returns the newest token of key if it is not in its last twenty-fourth.
func (s *Server) fresh(key tokenKey, now time.Time) *token {
	t := s.purse.current(key, now)
	if t == nil || t.dies.Sub(now) <= s.opt.TokenLife/shareOfEnd {
		return nil
	}
	return t
}
