package wechattest

// Profile is what api_get_authorizer_info and api_query_auth tell of an account.
// The zero value is an official account in good order.
type Profile struct {
	NickName    string
	UserName    string // gh_…
	MiniProgram bool
	// FuncInfo is the ids of the granted permission sets; nil means 1, 2, 3 and 4.
	FuncInfo []int
	// Status is account_status; 0 means 1, normal.
	Status int
	// NoAPI: the account may not call APIs, so WeChat gives no tokens for its code,
	// and shows no refresh token.
	NoAPI bool
}

// SetProfile changes what WeChat tells of an authorizer.
func (s *Server) SetProfile(componentAppID, appID string, p Profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustAuthorizer(componentAppID, appID).profile = &p
}

// profileOf returns the account's profile with its defaults.
func (a *authorizer) profileOf() Profile {
	p := Profile{}
	if a.profile != nil {
		p = *a.profile
	}
	if p.NickName == "" {
		p.NickName = "account " + a.appID
	}
	if p.UserName == "" {
		p.UserName = userNameOf(a.appID)
	}
	if p.FuncInfo == nil {
		p.FuncInfo = []int{1, 2, 3, 4}
	}
	if p.Status == 0 {
		p.Status = 1
	}
	return p
}

// userNameOf is the original id of an account that was given none.
func userNameOf(appID string) string { return "gh_" + appID[max(0, len(appID)-12):] }
