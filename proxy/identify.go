package proxy

import (
	"cmp"
	"errors"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// identify finds out whose call it is and which token it takes. The first that
// answers names the account: a handle in the token parameter, X-Wechat-Appid, the
// path prefix, from_appid; unnamed, it is the default or the only one.
func (s *Server) identify(r *request) *fault {
	if r.route.Kind == routes.User {
		return nil
	}
	r.cred.drop = namedAccess | namedComponent | namedFrom
	if r.route.Kind == routes.None {
		return nil
	}
	named, explicit, f := s.namedAccount(r)
	if f != nil {
		return f
	}
	switch {
	case r.route.Kind == routes.Component, r.params.named&namedComponent != 0:
		return s.useComponent(r, named, explicit)
	case r.route.Kind == routes.Either && !explicit:
		if f := s.useComponent(r, named, false); f == nil {
			return nil
		}
	}
	if !explicit {
		if named, f = s.defaultAccount(); f != nil {
			return f
		}
	}
	if named.Kind == broker.KindComponent {
		if r.route.Kind == routes.Authorizer && r.route.Catalogued {
			return badRequest("this path takes an account's token, and the call names the component " + named.AppID + ": name the account")
		}
		return s.useComponent(r, named, true)
	}
	r.cred.key, r.cred.param = named.Key(), routes.AccessToken
	return nil
}

// namedAccount returns the account that the call names, and whether it names one.
func (s *Server) namedAccount(r *request) (broker.Account, bool, *fault) {
	if r.handle != nil && !r.handle.void {
		a, f := s.account(r.handle.appid)
		return a, true, f
	}
	appid := r.namedAppID()
	if appid == nil && r.voidHandle() && r.handle.appid != "" {
		// A void handle proves nothing, but the default account is not whom it means.
		a, f := s.account(r.handle.appid)
		return a, true, f
	}
	if appid == nil {
		return broker.Account{}, false, nil
	}
	a, f := s.account(s.inflight.name(appid))
	return a, true, f
}

func (r *request) namedAppID() []byte {
	switch {
	case r.appid != nil:
		return r.appid
	case r.prefix != nil:
		return r.prefix
	default:
		return r.params.from
	}
}

func (s *Server) account(appid string) (broker.Account, *fault) {
	if !plausibleAppID(appid) {
		return broker.Account{}, badRequest("the call names an account, but not by an appid: one looks like wx0123456789abcdef")
	}
	a, err := s.source.Account(s.waiting(), appid, broker.Choice{})
	if err != nil {
		return a, brokerFault(err, appid)
	}
	return a, nil
}

func (s *Server) defaultAccount() (broker.Account, *fault) {
	if s.defaultAppID != "" {
		return s.account(s.defaultAppID)
	}
	a, err := s.source.OnlyAccount(s.waiting(), broker.Choice{})
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, broker.ErrUnknownAccount):
		return a, noAccount()
	default:
		return a, brokerFault(err, "")
	}
}

// useComponent makes the call take a component's token.
func (s *Server) useComponent(r *request, named broker.Account, explicit bool) *fault {
	component, f := s.componentFor(r, named, explicit)
	if f != nil {
		return f
	}
	r.cred.key = broker.Key{Kind: broker.KindComponent, AppID: component}
	r.cred.param = componentParam(r)
	return nil
}

// componentFor returns the component that the body names, where it was read, or that
// of the account named, else the only one, else the one that the query names for
// WeChat, else the default account's. The only one comes before the default account,
// as with it an account that has not authorised yet does not matter: the calls by
// which it is to do so are the component's.
func (s *Server) componentFor(r *request, named broker.Account, explicit bool) (string, *fault) {
	if component := cmp.Or(r.component, named.Component); component != "" {
		return component, nil
	}
	if component, ok := s.source.OnlyComponent(); ok {
		return component, nil
	}
	if explicit {
		return "", noComponent()
	}
	if r.params.named&namedPlatform != 0 {
		return s.component(queryValue(r.query, paramComponentAppID))
	}
	if s.defaultAppID != "" {
		a, f := s.account(s.defaultAppID)
		if f != nil || a.Component != "" {
			return a.Component, f
		}
	}
	return "", noComponent()
}

// component returns appid if it is a component's.
func (s *Server) component(appid string) (string, *fault) {
	a, f := s.account(appid)
	if f == nil && a.Kind != broker.KindComponent {
		f = notComponent(appid)
	}
	return a.AppID, f
}

// componentParam is the name under which a component's token is sent: the
// catalogue's, and only on a path that it does not have the caller's.
func componentParam(r *request) string {
	if !r.route.Catalogued && r.params.named&namedComponent != 0 {
		return routes.ComponentAccessToken
	}
	return r.route.Param
}
