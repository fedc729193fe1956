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
	c, f := s.choice(r)
	if f != nil {
		return f
	}
	if r.route.Kind == routes.Component || r.params.present&hasComponentToken != 0 {
		return s.useComponent(r, c)
	}
	named, explicit, f := s.namedAccount(r, c)
	if f != nil {
		return f
	}
	if !explicit && r.route.Kind == routes.Either && s.useComponent(r, c) == nil {
		return nil
	}
	if !explicit {
		if named, f = s.defaultAccount(r, c); f != nil {
			return f
		}
	}
	if named.Kind == broker.KindComponent {
		if r.route.Kind == routes.Authorizer && r.route.Catalogued {
			return badRequest("this path takes an account's token, and the call names the component " + named.AppID + ": name the account")
		}
		r.cred.key, r.cred.param = named.Key(), componentParam(r)
		return nil
	}
	r.cred.key, r.cred.param = named.Key(), routes.AccessToken
	return nil
}

// namedAccount returns the account that the call names, and whether it names one.
func (s *Server) namedAccount(r *request, c broker.Choice) (broker.Account, bool, *fault) {
	if r.handle != nil && !r.handle.void {
		if s.knownByHandle(r, c) {
			return r.known.Account(), true, nil
		}
		a, f := s.account(r, r.handle.appID, c)
		return a, true, f
	}
	appid := r.namedAppID()
	if appid == nil && r.voidHandle() && r.handle.appID != "" {
		a, f := s.voidHandleAccount(r, c)
		return a, true, f
	}
	if appid == nil {
		return broker.Account{}, false, nil
	}
	if s.knownByAppID(r, appid, c) {
		return r.known.Account(), true, nil
	}
	name, found := s.inflight.intern(appid)
	r.found = found
	a, f := s.account(r, name, c)
	return a, true, f
}

// known notes the account of appid that c means, if memory alone says which that is, as it does
// for nearly all calls, and the account's slot, which is found with it.
func (s *Server) known(r *request, appid []byte, c broker.Choice) bool {
	r.known = s.source.Known(appid, c)
	if r.known == nil {
		return false
	}
	r.found = s.inflight.slotAt(r.known)
	return true
}

// knownByAppID is known for an account that the call names by its appid. Its slot remembers it, and
// the connection the slot, as an app mostly makes its next call for the same.
func (s *Server) knownByAppID(r *request, appid []byte, c broker.Choice) bool {
	at := r.app.named
	if at == nil || !at.is(appid) {
		at = s.inflight.find(appid)
	}
	if !r.knownAt(at, c) && !s.known(r, appid, c) {
		return false
	}
	r.app.named = r.found
	return true
}

// knownByHandle is known for the account that a handle names. The slot that was found with a handle
// of ours remembers it.
func (s *Server) knownByHandle(r *request, c broker.Choice) bool {
	return r.knownAt(r.found, c) || s.known(r, r.handle.appIDIn(r.params.token), c)
}

// knownAt is known for the account that its slot remembers, if that is still what memory says.
func (r *request) knownAt(at *slot, c broker.Choice) bool {
	if at == nil {
		return false
	}
	k := at.known.Load()
	if k == nil || !k.Certain(c) {
		return false
	}
	r.known, r.found = k, at
	return true
}

// voidHandleAccount returns the account that a void handle names. The handle proves nothing,
// but it means neither the default account nor another component.
func (s *Server) voidHandleAccount(r *request, c broker.Choice) (broker.Account, *fault) {
	if of := componentOf(r.handle.key()); of != "" && c.Component != "" && of != c.Component {
		return broker.Account{}, differentComponents(of, c.Component)
	}
	c.Component = cmp.Or(c.Component, r.handle.component)
	return s.account(r, r.handle.appID, c)
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

// account returns the account of appid that c means, or the fault of one that there is not.
func (s *Server) account(r *request, appid string, c broker.Choice) (broker.Account, *fault) {
	if !plausibleAppID(appid) {
		return broker.Account{}, badRequest("the call names an account, but not by an appid: one looks like wx0123456789abcdef")
	}
	a, err := s.source.Account(s.tokenContext(), appid, c)
	switch {
	case err != nil:
		return a, s.accountFault(r, err, appid, c)
	case c.Component == "" || c.Component == a.Component:
		return a, nil
	case a.Kind == broker.KindComponent:
		return a, differentComponents(c.Component, a.AppID)
	case r.handle != nil && componentOf(r.handle.key()) == c.Component:
		return a, nil // the handle is older than the account's AppSecret in the configuration
	default:
		return a, ownAccount(appid, c.Component)
	}
}

// defaultAccount returns the account of calls that name none. The only one is found whatever
// component the call names: if it has not authorised that one, the call hears so.
func (s *Server) defaultAccount(r *request, c broker.Choice) (broker.Account, *fault) {
	if s.defaultAppID != "" {
		return s.account(r, s.defaultAppID, c)
	}
	a, err := s.source.OnlyAccount(s.tokenContext(), broker.Choice{Among: c.Among, Default: c.Default})
	switch {
	case err == nil && c.Component == "":
		return a, nil
	case err == nil:
		return s.account(r, a.AppID, c)
	case errors.Is(err, broker.ErrUnknownAccount):
		return a, noAccount()
	}
	var several *broker.AmbiguousError
	if errors.As(err, &several) && c.Component != "" {
		return s.account(r, several.AppID, c)
	}
	return a, s.accountFault(r, err, "", c)
}

// componentParam returns the parameter in which a component's token is sent: the
// catalogue's, or the caller's on a path that the catalogue does not have.
func componentParam(r *request) string {
	if !r.route.Catalogued && r.params.present&hasComponentToken != 0 {
		return routes.ComponentAccessToken
	}
	return r.route.Param
}
