package wechattest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pageHosts are the hosts of the authorization pages.
var pageHosts = []string{"mp.weixin.qq.com", "open.weixin.qq.com"}

// pagePaths are the authorization pages: that for PCs, and the two forms of that for phones.
var pagePaths = []string{"/cgi-bin/componentloginpage", "/safe/bindcomponent", "/wxaopen/safe/bindcomponent"}

// authTypes are the values of auth_type.
var authTypes = []string{"1", "2", "3", "4", "5", "6", "8"}

// preAuthCode is a pre_auth_code: good for one authorization.
type preAuthCode struct {
	of   *component
	dies time.Time
	// opened says that the page was opened with it, from the component's domain.
	opened, used bool
}

// visit is one request of a merchant's browser for the authorization page.
type visit struct {
	component *component
	code      *preAuthCode
	codeText  string
	landing   *url.URL // redirect_uri
	authType  string
	bizAppID  string
}

// servePage is the page on which a merchant authorises a component. A GET shows it, a POST
// with the account's appid authorises, pushes the event and sends the browser back. See
// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Authorization_Process_Technical_Description.html
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method {
	case http.MethodGet:
		var offered []string
		if offered, err = s.openPage(r); err == nil {
			writePage(w, offered)
			return
		}
	case http.MethodPost:
		var landing string
		if landing, err = s.confirm(r); err == nil {
			http.Redirect(w, r, landing, http.StatusFound)
			return
		}
	default:
		err = errors.New("want GET or POST")
	}
	writePageError(w, err)
}

// openPage checks what the browser brings, and returns the accounts that the merchant may
// choose from.
func (s *Server) openPage(r *http.Request) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.visit(r)
	if err != nil {
		return nil, err
	}
	if err := v.checkDomains(r.Referer()); err != nil {
		return nil, err
	}
	v.code.opened = true
	if v.bizAppID != "" {
		return []string{v.bizAppID}, nil
	}
	var offered []string
	for _, a := range v.component.listed[:min(len(v.component.listed), maxOffered)] {
		if v.takes(a) {
			offered = append(offered, a.appID)
		}
	}
	return offered, nil
}

// visit reads the query of the page's URL.
func (s *Server) visit(r *http.Request) (visit, error) {
	q := r.URL.Query()
	v := visit{
		component: s.components[q.Get("component_appid")], codeText: q.Get("pre_auth_code"),
		authType: q.Get("auth_type"), bizAppID: q.Get("biz_appid"),
	}
	v.code = s.preAuthCodes[v.codeText]
	landing, err := url.Parse(q.Get("redirect_uri"))
	v.landing = landing
	switch {
	case v.component == nil:
		return v, errors.New("component_appid is not a component's")
	case v.code == nil || v.code.of != v.component || v.code.used:
		return v, errors.New("pre_auth_code is invalid, or was used")
	case !s.now().Before(v.code.dies):
		return v, errors.New("pre_auth_code is expired")
	case err != nil || landing.Host == "" || landing.Scheme != "http" && landing.Scheme != "https":
		return v, errors.New("redirect_uri is not an http or https URL")
	case v.bizAppID == "" && !slices.Contains(authTypes, v.authType):
		return v, fmt.Errorf("auth_type is none of %s", strings.Join(authTypes, ", "))
	case r.URL.Path != pagePaths[0] && (q.Get("action") != "bindcomponent" || q.Get("no_scan") != "1"):
		return v, errors.New("a phone's page needs action=bindcomponent and no_scan=1")
	}
	return v, nil
}

// checkDomains compares the domains of the page that the merchant comes from and of the page
// to return to with the one that the component's console names.
func (v visit) checkDomains(referer string) error {
	from, err := url.Parse(referer)
	if err != nil {
		from = &url.URL{}
	}
	domain := v.component.AuthorizeDomain
	if domain == "" || from.Hostname() != domain || v.landing.Hostname() != domain {
		return fmt.Errorf("the page that one comes from (%s) and the page to return to (%s) must both be on the domain that the component's settings name (%s)",
			orNone(from.Hostname()), v.landing.Hostname(), orNone(domain))
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// takes reports whether the account is of the sort that auth_type names.
func (v visit) takes(a *authorizer) bool {
	switch v.authType {
	case "1":
		return !a.profileOf().MiniProgram
	case "2":
		return a.profileOf().MiniProgram
	default:
		return true
	}
}

// confirm lets the account that the form names authorise, pushes the event, and returns where
// the browser goes on to.
func (s *Server) confirm(r *http.Request) (landing string, err error) {
	v, appID, err := s.useCode(r)
	if err != nil {
		return "", err
	}
	renewed := s.Knows(v.component.AppID, appID)
	code := s.Authorize(v.component.AppID, appID)
	event := s.AuthorizedEvent(appID, code, renewed)
	event.PreAuthCode = v.codeText
	if s.settingsOf(v.component.AppID).PushURL != "" {
		if err := s.Push(context.WithoutCancel(r.Context()), v.component.AppID, event); err != nil {
			s.opt.Log.Warn("push after an authorization failed", "error", err)
		}
	}
	q := v.landing.Query()
	q.Set("auth_code", code)
	q.Set("expires_in", strconv.Itoa(int(s.opt.CodeLife.Seconds())))
	v.landing.RawQuery = q.Encode()
	return v.landing.String(), nil
}

// useCode takes the form, and uses the pre_auth_code up.
func (s *Server) useCode(r *http.Request) (visit, string, error) {
	appID := strings.TrimSpace(r.PostFormValue("appid"))
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.visit(r)
	known := (*authorizer)(nil)
	if err == nil {
		known = v.component.authorizers[appID]
	}
	switch {
	case err != nil:
	case !v.code.opened:
		err = errors.New("the page was not opened from the component's domain")
	case appID == "" || s.components[appID] != nil:
		err = errors.New("choose an account")
	case v.bizAppID != "" && v.bizAppID != appID:
		err = fmt.Errorf("only %s may authorise here", v.bizAppID)
	case known != nil && !v.takes(known):
		err = fmt.Errorf("%s is not of the sort that auth_type=%s takes", appID, v.authType)
	default:
		v.code.used = true
	}
	return v, appID, err
}
