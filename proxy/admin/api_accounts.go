package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

func (a *api) listAccounts(r *http.Request) (any, error) {
	if err := known(r, "q", "kind", "component", "state", "cursor", "limit"); err != nil {
		return nil, err
	}
	limit, err := number(r, "limit", 0, 500)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	return a.Broker.Accounts(r.Context(), broker.AccountQuery{
		Search: q.Get("q"), Kind: q.Get("kind"), Component: q.Get("component"), State: q.Get("state"), After: q.Get("cursor"), Limit: limit,
	})
}

// AccountsOf is what there is of one appid: a merchant may have authorised several components.
type AccountsOf struct {
	Accounts []broker.AccountStatus `json:"accounts"`
}

func (a *api) showAccount(r *http.Request) (any, error) {
	if err := known(r, "component"); err != nil {
		return nil, err
	}
	all, err := a.accountsOf(r)
	return AccountsOf{all}, err
}

// accountsOf returns the accounts that the path and the query name.
func (a *api) accountsOf(r *http.Request) ([]broker.AccountStatus, error) {
	appID, component := r.PathValue("appid"), r.URL.Query().Get("component")
	all, err := a.Broker.AccountsOf(r.Context(), clip(appID))
	if err != nil || component == "" {
		return all, err
	}
	for _, s := range all {
		if s.Component == component {
			return []broker.AccountStatus{s}, nil
		}
	}
	return nil, fault(http.StatusNotFound, "unknown_account", "%s has not authorised the component %q; leave component out to see which it has", clip(appID), clip(component))
}

// account returns the one account that the path and the query name.
func (a *api) account(r *http.Request) (broker.AccountStatus, error) {
	all, err := a.accountsOf(r)
	if err != nil {
		return broker.AccountStatus{}, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	var components []string
	for _, s := range all {
		components = append(components, s.Component)
	}
	return broker.AccountStatus{}, fault(http.StatusConflict, "ambiguous_component", "%s has authorised several components: say which by component=, one of %s", all[0].AppID, strings.Join(components, ", "))
}

func (a *api) renewAccount(r *http.Request) (any, error) {
	s, err := a.account(r)
	if err != nil {
		return nil, err
	}
	return a.renew(r, s.Key())
}

// askTime is how long WeChat may take for what is asked of it at an operator's word.
const askTime = 20 * time.Second

func (a *api) reconcileAccount(r *http.Request) (any, error) {
	s, err := a.account(r)
	if err == nil {
		err = known(r, "component")
	}
	if err != nil {
		return nil, err
	}
	if s.Component == "" {
		return nil, fault(http.StatusConflict, "own_account", "%s is an own account, of which WeChat has no authorization on record; renew it instead", s.AppID)
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	if err := a.Broker.ReconcileAccount(ctx, s.Key()); err != nil {
		return nil, err
	}
	return a.account(r)
}

func (a *api) forgetAccount(r *http.Request) (any, error) {
	s, err := a.account(r)
	if err == nil {
		err = known(r, "component", "force")
	}
	if err != nil {
		return nil, err
	}
	inForce := s.State != broker.StateUnauthorized.String() && s.State != broker.StateNeedsAuthorization.String()
	switch {
	case s.Component == "":
		return nil, fault(http.StatusConflict, "own_account", "%s is an own account: take it out of accounts in the configuration", s.AppID)
	case inForce && r.URL.Query().Get("force") != "true":
		return nil, fault(http.StatusConflict, "in_force", "the authorization of %s is in force (%s): its calls would fail until WeChat's list brings it back; say force=true if that is what you want", s.AppID, s.State)
	}
	if err := a.Broker.Forget(r.Context(), s.Key()); err != nil {
		return nil, err
	}
	return a.account(r)
}

// Done is the answer to an act of which there is nothing more to say.
type Done struct {
	Done string `json:"done"`
}

func (a *api) resetBudgets(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	a.Broker.ResetBudgets()
	return Done{"keys that an exhausted quota, a budget or a misconfiguration stopped are tried again"}, nil
}
