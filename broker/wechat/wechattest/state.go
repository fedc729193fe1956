package wechattest

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Component is a third-party platform as its console shows it.
type Component struct {
	AppID  string
	Secret string
	// PushToken (消息校验Token) and EncodingAESKey (消息加解密Key, 43 characters)
	// sign and seal pushes. Without them nothing can be pushed.
	PushToken      string
	EncodingAESKey string
	// PushURL is where authorization events go (授权事件接收URL).
	PushURL string
	// MessageURL is where messages go; $APPID$ in it becomes the account's appid.
	MessageURL string
	// AuthorizeDomain is the host that merchants must come from to the authorization page, and
	// return to (登录授权的发起页域名). Without it the page opens for nobody.
	AuthorizeDomain string
}

type component struct {
	Component
	authorizers map[string]*authorizer
	// listed is the authorised ones in the order of the list.
	listed    []*authorizer
	tickets   []*ticket
	silent    bool // WeChat has stopped pushing
	wanted    bool // a ticket is to be pushed now
	ipRefused bool
}

type authorizer struct {
	appID    string
	of       *component
	refresh  *refreshToken
	authTime time.Time
	usedSeq  uint64 // of the newest refresh token that was used
	listed   bool   // is authorised
	unlisted bool   // the list shows no refresh token
	profile  *Profile
}

type account struct {
	appID, secret string
	ipRefused     bool
	forced        forcedRefreshes
	messages      MessageSettings
}

type refreshToken struct {
	text  string
	owner *authorizer
	seq   uint64
	void  bool
}

type ticket struct {
	of   *component
	dies time.Time
}

type authCode struct {
	owner *authorizer
	dies  time.Time
	used  bool
}

// AddComponent adds a platform, or replaces the settings of the one with the
// same appid; its authorizers stay.
func (s *Server) AddComponent(c Component) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings[c.Secret] = "the component's secret"
	s.settings[c.PushToken] = "a push token"
	s.settings[c.EncodingAESKey] = "an AES key"
	if known := s.components[c.AppID]; known != nil {
		known.Component = c
		return
	}
	s.components[c.AppID] = &component{Component: c, authorizers: map[string]*authorizer{}}
}

// AddAccount adds an own account with its app secret, or changes the secret.
func (s *Server) AddAccount(appID, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings[secret] = "an account's secret"
	if known := s.accounts[appID]; known != nil {
		known.secret = secret
		return
	}
	s.accounts[appID] = &account{appID: appID, secret: secret}
}

// AddAuthorizer lets the account appID have authorised the component already:
// its refresh token exists and the list shows it. It panics if the component is
// unknown, as that is a fault of the test.
func (s *Server) AddAuthorizer(componentAppID, appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorize(s.mustComponent(componentAppID), appID)
}

// AddAuthorizers adds n authorizers with appids of the form wxa000000000000001,
// counted over all components, and returns the appids.
func (s *Server) AddAuthorizers(componentAppID string, n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.mustComponent(componentAppID)
	appIDs := make([]string, 0, n)
	for len(appIDs) < n {
		s.numbered++
		appID := fmt.Sprintf("wxa%015x", s.numbered)
		if c.authorizers[appID] == nil {
			s.authorize(c, appID)
			appIDs = append(appIDs, appID)
		}
	}
	return appIDs
}

// authorize gives the account a new refresh token, and a place at the end of
// the list if it has none.
func (s *Server) authorize(c *component, appID string) *authorizer {
	a := c.authorizers[appID]
	if a == nil {
		a = &authorizer{appID: appID, of: c}
		c.authorizers[appID] = a
	}
	if !a.listed {
		a.listed = true
		c.listed = append(c.listed, a)
	}
	a.authTime = s.now()
	s.renewRefresh(a)
	return a
}

// renewRefresh gives the account a new refresh token; the former is void.
func (s *Server) renewRefresh(a *authorizer) { s.giveRefresh(a, s.mint.refreshToken()) }

func (s *Server) giveRefresh(a *authorizer, text string) {
	next := &refreshToken{text: text, owner: a, seq: 1}
	if a.refresh != nil {
		a.refresh.void = true
		next.seq = a.refresh.seq + 1
	}
	a.refresh = next
	s.refreshes[next.text] = next
}

// revoke takes the authorization back.
func (c *component) revoke(a *authorizer) {
	if i := slices.Index(c.listed, a); i >= 0 {
		c.listed = slices.Delete(c.listed, i, i+1)
	}
	a.listed = false
	if a.refresh != nil {
		a.refresh.void = true
	}
}

func (s *Server) mustComponent(appID string) *component {
	c := s.components[appID]
	if c == nil {
		panic("wechattest: unknown component " + appID)
	}
	return c
}

func (s *Server) mustAuthorizer(componentAppID, appID string) *authorizer {
	a := s.mustComponent(componentAppID).authorizers[appID]
	if a == nil {
		panic("wechattest: unknown authorizer " + appID + " of component " + componentAppID)
	}
	return a
}

// Authorizers returns the appids of the accounts that authorise the component,
// in the order of the list.
func (s *Server) Authorizers(componentAppID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustComponent(componentAppID)
	appIDs := make([]string, 0, len(p.listed))
	for _, a := range p.listed {
		appIDs = append(appIDs, a.appID)
	}
	return appIDs
}

// Components returns the appids of the platforms, sorted.
func (s *Server) Components() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.components))
}

// Accounts returns the appids of the own accounts, sorted.
func (s *Server) Accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.accounts))
}

// Knows reports whether appID ever authorised the component.
func (s *Server) Knows(componentAppID, appID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.components[componentAppID]
	return p != nil && p.authorizers[appID] != nil
}
