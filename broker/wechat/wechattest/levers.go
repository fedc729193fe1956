package wechattest

import (
	"maps"
	"slices"
	"time"
)

// keysOf returns the successions of access tokens that belong to appID, as
// component, as authorizer of every component, and as own account. It does not
// return those that have never had a token.
func (s *Server) keysOf(appID string) []tokenKey {
	keys := []tokenKey{
		{KindComponent, appID, appID},
		{kind: KindAccount, appID: appID},
		{kind: KindStable, appID: appID},
	}
	for _, p := range s.components {
		keys = append(keys, tokenKey{KindAuthorizer, p.AppID, appID})
	}
	return slices.DeleteFunc(keys, func(k tokenKey) bool { return s.purse.newest[k] == nil })
}

// ExpireToken ends the life of all of appID's access tokens, as if their time
// had come: they are answered 42001.
func (s *Server) ExpireToken(appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.keysOf(appID) {
		s.purse.expire(key, s.now())
	}
}

// ExpireAllTokens is ExpireToken for every account and component.
func (s *Server) ExpireAllTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Collect(maps.Keys(s.purse.newest)) {
		if key.kind.server() {
			s.purse.expire(key, s.now())
		}
	}
}

// Displace lets somebody else fetch a token of appID: the tokens given before die
// at once and are answered 40001.
func (s *Server) Displace(appID string) { s.displace(appID, 0) }

// DisplaceAuthorizer is Displace of the token by which one component acts for appid; those
// of other components live on. It does nothing if there has never been one.
func (s *Server) DisplaceAuthorizer(componentAppID, appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := (tokenKey{KindAuthorizer, componentAppID, appID}); s.purse.newest[key] != nil {
		s.purse.issue(key, s.mint.token(), s.now(), s.opt.TokenLife, 0)
	}
}

// DisplaceWithOverlap is Displace, with the overlap that WeChat grants.
func (s *Server) DisplaceWithOverlap(appID string) { s.displace(appID, s.opt.Overlap) }

func (s *Server) displace(appID string, overlap time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.keysOf(appID) {
		s.purse.issue(key, s.mint.token(), s.now(), s.opt.TokenLife, overlap)
	}
}

// CurrentToken returns the newest living access token of appID, or "". Of an own
// account with tokens of both sorts it is the stable one; of an account that
// authorises several components, that of one of them.
func (s *Server) CurrentToken(appID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := ""
	for _, key := range s.keysOf(appID) {
		if t := s.purse.current(key, s.now()); t != nil {
			found = t.text
		}
	}
	return found
}

// TokensIssued returns how many access tokens appID was given in all, those of
// [Server.Displace] included.
func (s *Server) TokensIssued(appID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, key := range s.keysOf(appID) {
		n += int(s.purse.newest[key].generation)
	}
	return n
}

// Authorize lets the account authorise the component, or renew its
// authorization, and returns an authorization code that works once. An older
// refresh token is void; a new account is listed without a refresh token until
// the code is exchanged. Nothing is pushed (see [Server.Push]).
func (s *Server) Authorize(componentAppID, appID string) (code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustComponent(componentAppID)
	known := p.authorizers[appID] != nil
	a := s.authorize(p, appID)
	if !known {
		a.unlisted = true
	}
	if s.opt.ReauthorizeKillsTokens {
		s.purse.displace(tokenKey{KindAuthorizer, p.AppID, appID}, s.now(), 0)
	}
	code = s.mint.authCode()
	s.authCodes[code] = &authCode{owner: a, dies: s.now().Add(s.opt.CodeLife)}
	return code
}

// Revoke lets the merchant take the authorization back: the refresh token is
// void, calls are answered 61003, and the list no longer has the account. Nothing
// is pushed.
func (s *Server) Revoke(componentAppID, appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.mustAuthorizer(componentAppID, appID)
	a.of.revoke(a)
	s.purse.displace(tokenKey{KindAuthorizer, componentAppID, appID}, s.now(), 0)
}

// RotateRefreshToken gives the account a new refresh token, which the list and
// api_get_authorizer_info show; the former is answered 61023.
func (s *Server) RotateRefreshToken(componentAppID, appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewRefresh(s.mustAuthorizer(componentAppID, appID))
}

// GiveRefreshToken is RotateRefreshToken to one that a test chooses: somebody may hold it already.
func (s *Server) GiveRefreshToken(componentAppID, appID, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveRefresh(s.mustAuthorizer(componentAppID, appID), text)
}

// VoidRefreshToken makes the account's refresh token void without another in its
// place: WeChat goes on showing it, and answers it 61023.
func (s *Server) VoidRefreshToken(componentAppID, appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustAuthorizer(componentAppID, appID).refresh.void = true
}

// RefreshToken returns the account's newest refresh token.
func (s *Server) RefreshToken(componentAppID, appID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustAuthorizer(componentAppID, appID).refresh.text
}

// Unlist makes the list show the account without its refresh token, which
// api_get_authorizer_info still tells.
func (s *Server) Unlist(componentAppID, appID string, unlisted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustAuthorizer(componentAppID, appID).unlisted = unlisted
}

// RefuseIP takes the caller's address off the whitelist of a component (61004)
// or of an own account (40164), or puts it back.
func (s *Server) RefuseIP(appID string, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.components[appID]; p != nil {
		p.ipRefused = refused
	}
	if a := s.accounts[appID]; a != nil {
		a.ipRefused = refused
	}
}

// SkewDate shifts the Date header of all answers; expiry is not touched.
func (s *Server) SkewDate(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = by
}
