package proxy

import (
	"errors"

	"github.com/wxsidecar/wxsidecar/broker"
)

// A merchant may authorise several components, and each authorization has rights of its
// own. Which component a call means must be certain: it is never guessed.

// choice returns what decides which authorization of a merchant the call means. It refuses a
// component that the caller may not act through.
func (s *Server) choice(r *request) (broker.Choice, *fault) {
	named, f := s.namedComponent(r)
	if f != nil {
		return broker.Choice{}, f
	}
	c := broker.Choice{Component: named, Default: s.defaultComponent}
	if r.caller != nil {
		c.Among = r.caller.Components
	}
	return c, r.caller.mayActThrough(named)
}

// namedComponent returns the component that the call names, in whatever ways; empty for
// none. A void handle names none here.
func (s *Server) namedComponent(r *request) (string, *fault) {
	named := ""
	for _, component := range [...]string{
		r.handleComponent(), s.intern(r.component), s.intern(r.params.component), r.bodyComponent,
	} {
		switch {
		case component == "" || component == named:
		case !plausibleAppID(component):
			return "", badRequest("the call names a component, but not by an appid: one looks like wx0123456789abcdef")
		case named != "":
			return "", differentComponents(named, component)
		default:
			named = component
		}
	}
	return named, nil
}

// intern returns an appid as a string; empty for none. A component's comes from the
// configuration, since inflight has it only after a call in the component's own name.
func (s *Server) intern(appid []byte) string {
	if appid == nil {
		return ""
	}
	for _, component := range s.source.Components() {
		if component == string(appid) {
			return component
		}
	}
	name, _ := s.inflight.intern(appid)
	return name
}

// handleComponent returns the component of a handle that is not void; empty for none.
func (r *request) handleComponent() string {
	if r.handle == nil || r.handle.void {
		return ""
	}
	return componentOf(r.handle.key())
}

// componentOf returns the component that a call with a token of key acts through; empty for
// an own account.
func componentOf(key broker.Key) string {
	if key.Kind == broker.KindComponent {
		return key.AppID
	}
	return key.Component
}

// useComponent makes the call take a component's token.
func (s *Server) useComponent(r *request, c broker.Choice) *fault {
	component, f := s.componentFor(r, c)
	if f != nil {
		return f
	}
	r.cred.key = broker.Key{Kind: broker.KindComponent, AppID: component}
	r.cred.param = componentParam(r)
	return nil
}

// componentFor returns the component that a call in a component's own name names, else that
// of the account named, else the only one that the caller may act through, else the only
// one, else the default account's. The only one comes before the default account, because
// that may not have authorised the component yet, and the calls by which it does so are the
// component's.
func (s *Server) componentFor(r *request, c broker.Choice) (string, *fault) {
	if c.Component != "" {
		return s.component(r, c.Component)
	}
	named, explicit, f := s.namedAccount(r, c)
	if f != nil || named.Component != "" {
		return named.Component, f
	}
	if len(c.Among) == 1 {
		return c.Among[0], nil
	}
	all := s.source.Components()
	if len(all) == 1 {
		return all[0], nil
	}
	if !explicit && s.defaultAppID != "" {
		a, f := s.account(r, s.defaultAppID, c)
		if f != nil || a.Component != "" {
			return a.Component, f
		}
	}
	if len(all) == 0 {
		return "", noComponent()
	}
	return "", unnamedComponent(r.bodyMayName)
}

// component returns appid, by which the call names a component, if it is one's. The account
// that the call may name beside it does not matter, as it may be about to authorise this
// component, unless it is another component itself.
func (s *Server) component(r *request, appid string) (string, *fault) {
	if !s.isComponent(appid) {
		return "", notComponent(appid)
	}
	beside := s.intern(r.namedAppID())
	if beside != "" && beside != appid && plausibleAppID(beside) && s.isComponent(beside) {
		return "", differentComponents(appid, beside)
	}
	return appid, nil
}

func (s *Server) isComponent(appid string) bool {
	a, err := s.source.Account(s.tokenContext(), appid, broker.Choice{})
	return err == nil && a.Kind == broker.KindComponent
}

// accountFault is the fault of an error of the broker about the account appid, for which it
// was asked with c.
func (s *Server) accountFault(r *request, err error, appid string, c broker.Choice) *fault {
	var several *broker.AmbiguousError
	switch {
	case errors.As(err, &several):
		if f := r.caller.mayActThrough(several.Components[0]); f != nil {
			return f // or its rights would have narrowed the choice
		}
		return ambiguousComponent(several)
	case c.Component == "" || !errors.Is(err, broker.ErrUnknownAccount):
		return brokerFault(err, appid)
	case !s.isComponent(c.Component):
		return notComponent(c.Component)
	}
	_, err = s.source.Account(s.tokenContext(), appid, broker.Choice{})
	if err == nil || errors.As(err, &several) {
		return notAuthorised(appid, c.Component)
	}
	return brokerFault(err, appid)
}
