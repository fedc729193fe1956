package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// Components is a list of components.
type Components struct {
	Components []broker.ComponentStatus `json:"components"`
}

func (a *api) listComponents(r *http.Request) (any, error) {
	return Components{a.Broker.Components()}, known(r)
}

// component returns the component that the path names.
func (a *api) component(r *http.Request) (broker.ComponentStatus, error) {
	appID := r.PathValue("appid")
	for _, c := range a.Broker.Components() {
		if c.AppID == appID {
			return c, nil
		}
	}
	return broker.ComponentStatus{}, fault(http.StatusNotFound, "unknown_component", "%q is not configured under components; compare the appid", clip(appID))
}

func (a *api) showComponent(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	return a.component(r)
}

// Renewed is the outcome of a renewal.
type Renewed struct {
	broker.AccountStatus
	// Ended says that the renewal has ended; its trouble, if any, is in the status. Else it
	// goes on.
	Ended bool `json:"ended"`
}

func (a *api) renewComponent(r *http.Request) (any, error) {
	c, err := a.component(r)
	if err != nil {
		return nil, err
	}
	return a.renew(r, c.Key())
}

// renew renews a key and waits for the outcome as long as the query says.
func (a *api) renew(r *http.Request, key broker.Key) (any, error) {
	wait, err := waitFor(r)
	if err == nil {
		err = known(r, "wait", "component")
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	s, ended, err := a.Broker.Renew(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case !ended:
		return accepted{Renewed{s, false}}, nil
	default:
		return Renewed{s, true}, nil
	}
}

func (a *api) reconcile(r *http.Request) (any, error) {
	c, err := a.component(r)
	if err == nil {
		err = known(r)
	}
	if err == nil {
		err = a.Broker.Reconcile(c.AppID)
	}
	if err != nil {
		return nil, err
	}
	c, err = a.component(r)
	return accepted{c}, err
}

func (a *api) startTickets(r *http.Request) (any, error) {
	c, err := a.component(r)
	if err == nil {
		err = known(r)
	}
	if err != nil {
		return nil, err
	}
	wait, err := a.Broker.StartTickets(r.Context(), c.AppID)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		e := fault(http.StatusTooManyRequests, "too_soon", "WeChat was asked for tickets less than ten minutes ago and said yes; ask again in %s", wait.Round(time.Second))
		e.retryAfter = wait
		return nil, e
	}
	return accepted{c}, nil
}

// LinkRequest is what a merchant is asked to authorise; docs/authorize.md says what the
// fields mean. All may be empty.
type LinkRequest struct {
	AuthType       string `json:"auth_type"`
	BizAppID       string `json:"biz_appid"`
	CategoryIDList string `json:"category_id_list"`
	State          string `json:"state"`
}

// Link is the address of a page on which merchants authorise.
type Link struct {
	URL string `json:"url"`
}

func (a *api) link(r *http.Request) (any, error) {
	c, err := a.component(r)
	if err == nil {
		err = known(r)
	}
	var want LinkRequest
	if err == nil {
		err = readBody(r, &want)
	}
	if err != nil {
		return nil, err
	}
	url, err := a.Control.Link(c.AppID, want)
	if err != nil {
		return nil, fault(http.StatusConflict, "no_link", "%v", err)
	}
	return Link{url}, nil
}
