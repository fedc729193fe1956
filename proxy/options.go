package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/clock"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// Options says how calls are served, one field a setting. Source is required; every other
// zero value has a use.
type Options struct {
	// Source gives the tokens.
	Source TokenSource
	// Exchange serves the endpoints with which SDKs trade codes and secrets; nil
	// lets these calls pass as they are.
	Exchange Exchange
	// Upstream is where calls go.
	Upstream UpstreamOptions
	// DefaultAppID is the account of calls that name none; empty for no such account.
	DefaultAppID string
	// DefaultComponent is the component of calls for a merchant that has authorised
	// several, and that name none; empty for no such component.
	DefaultComponent string
	// AllowedHosts are names under which apps may call, beside loopback names and
	// those of the upstream.
	AllowedHosts []string
	// ErrorsAsHTTP200 gives our own errors the status 200, but for CONNECT, where
	// that would mean an open tunnel.
	ErrorsAsHTTP200 bool
	// Limits bounds what is served at once.
	Limits Limits
	// Callers are who may call; none for anybody.
	Callers []Caller
	// ExposeTokens makes token endpoints return real tokens instead of handles.
	ExposeTokens bool
	// HandleKeys authenticate handles. The first issues them, all of them verify. Replicas
	// need the same keys. Without any, handles are valid until the process ends.
	HandleKeys [][]byte
	// MakeTraces gives a call without a traceparent one of its own.
	MakeTraces bool
	// AccessLog says at any time whether each call is logged in a line; nil for never.
	AccessLog *atomic.Bool
	// Connect says how the method CONNECT is served.
	Connect ConnectOptions
	// Metrics and Log may be nil.
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Now is the local clock for deadlines and durations; nil for the machine's.
	Now func() time.Time
	// BaseContext is the parent of the contexts for the broker and for dialling; nil for
	// context.Background.
	BaseContext context.Context
}

func (o Options) withDefaults() (Options, error) {
	if o.Source == nil {
		return o, errors.New("proxy: Options.Source is nil")
	}
	if o.Now == nil {
		o.Now = clock.Monotonic()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.BaseContext == nil {
		o.BaseContext = context.Background()
	}
	o.Limits = o.Limits.withDefaults()
	return o, nil
}
