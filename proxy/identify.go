package proxy

import (
	"cmp"
	"errors"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// identify finds out whose call it is and which token it takes. The account is the first
// that one of these names: a handle in the token parameter, X-Wechat-Appid, the path
// prefix, from_appid. Otherwise it is the default account, or the only one.
func (s *Server) identify(r *request) *fault {
	if r.route.Kind == routes.User {
		return nil
	}
	r.cred.drop = hasAccessToken | hasComponentToken | hasFromAppID
	if r.route.Kind == routes.None {
		return nil
	}
	named, explicit, f := s.namedAccount(r)
	if f != nil {
		return f
	}
	switch {
	case r.route.Kind == routes.Component, r.params.present&hasComponentToken != 0:
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
		// A void handle proves nothing, but it does not mean the default account.
		a, f := s.account(r.handle.appid)
		return a, true, f
	}
	if appid == nil {
		return broker.Account{}, false, nil
	}
	a, f := s.account(s.inflight.intern(appid))
	return a, true, f
}

// namedAppID returns the appid that the call names other than by a handle, or nil.
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

// account returns the account of appid, or the fault of an appid that nobody knows.
func (s *Server) account(appid string) (broker.Account, *fault) {
	if !plausibleAppID(appid) {
		return broker.Account{}, badRequest("the call names an account, but not by an appid: one looks like wx0123456789abcdef")
	}
	a, err := s.source.Account(s.tokenContext(), appid, broker.Choice{})
	if err != nil {
		return a, brokerFault(err, appid)
	}
	return a, nil
}

// defaultAccount returns the account of calls that name none.
func (s *Server) defaultAccount() (broker.Account, *fault) {
	if s.defaultAppID != "" {
		return s.account(s.defaultAppID)
	}
	a, err := s.source.OnlyAccount(s.tokenContext(), broker.Choice{})
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

// componentFor returns the component that the body names, if it was read, else that of the
// account named, else the only one, else the one that the query names for WeChat, else
// the default account's. The only one comes before the default account, because that may
// not have authorised the component yet, and the calls by which it does so are the
// component's.
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
	if r.params.present&hasComponentAppID != 0 {
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

// componentParam returns the parameter in which a component's token is sent: the
// catalogue's, or the caller's on a path that the catalogue does not have.
func componentParam(r *request) string {
	if !r.route.Catalogued && r.params.present&hasComponentToken != 0 {
		return routes.ComponentAccessToken
	}
	return r.route.Param
}
