package admin

import (
	_ "embed" // openapi.yaml
	"net/http"
	"slices"
	"strings"
	"time"
)

// Hosts is WeChat's API hosts, the configured one first.
type Hosts struct {
	// Outage is why nothing is renewed at the moment; empty while renewals go on.
	Outage string `json:"outage,omitempty"`
	// Since is when that began; nil while renewals go on.
	Since *time.Time `json:"since,omitempty"`
	// Fault is what was met instead of an answer, in the network's words.
	Fault string `json:"fault,omitempty"`
	// ProxyFails says that upstream.proxy is the cause, and not WeChat.
	ProxyFails bool   `json:"proxy_fails,omitempty"`
	Hosts      []Host `json:"hosts"`
}

func (a *api) listHosts(r *http.Request) (any, error) { return a.hosts(), known(r) }

func (a *api) hosts() Hosts {
	h := Hosts{Outage: a.Broker.Outage(), Hosts: []Host{}}
	h.Fault, h.ProxyFails = a.Broker.OutageFault()
	if since := a.Broker.OutageSince(); !since.IsZero() {
		since = since.UTC().Truncate(time.Second)
		h.Since = &since
	}
	if a.Upstream != nil {
		h.Hosts = append(h.Hosts, a.Upstream()...)
	}
	return h
}

func (a *api) reload(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	result, err := a.Control.Reload(r.Context())
	if err != nil {
		return nil, fault(http.StatusServiceUnavailable, "not_now", "%v", err)
	}
	return result, nil
}

// LogSettings is what is logged.
type LogSettings struct {
	// Level is debug, info, warn or error.
	Level string `json:"level"`
	// Access says that each call of an app is logged in a line.
	Access bool `json:"access"`
}

func (a *api) logSettings() LogSettings {
	return LogSettings{Level: strings.ToLower(a.Control.LogLevel().Level().String()), Access: a.Control.AccessLog().Load()}
}

func (a *api) showLog(r *http.Request) (any, error) { return a.logSettings(), known(r) }

// levels are those that the configuration knows, by slog's own names in lower case.
var levels = []string{"debug", "info", "warn", "error"}

// setLog changes what the body names, until the process ends.
func (a *api) setLog(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	var want struct {
		Level  *string `json:"level"`
		Access *bool   `json:"access"`
	}
	if err := readBody(r, &want); err != nil {
		return nil, err
	}
	if want.Level != nil {
		if !slices.Contains(levels, *want.Level) {
			return nil, fault(http.StatusBadRequest, "bad_request", "level is %q: give debug, info, warn or error", clip(*want.Level))
		}
		_ = a.Control.LogLevel().UnmarshalText([]byte(*want.Level)) // it knows all of them
	}
	if want.Access != nil {
		a.Control.AccessLog().Store(*want.Access)
	}
	return a.logSettings(), nil
}

func (a *api) quit(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	a.Control.Quit()
	return accepted{Done{"the sidecar stops as on SIGTERM: calls under way may end within shutdown.grace"}}, nil
}

//go:embed openapi.yaml
var openAPIText string

func (a *api) openAPI(*http.Request) (any, error) {
	return document{"application/yaml", openAPIText}, nil
}
