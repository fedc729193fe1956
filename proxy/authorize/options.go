package authorize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// Broker is what the pages ask of the broker. It must be safe for concurrent use.
type Broker interface {
	// PreAuthCode returns a pre_auth_code of the component and how long it is good.
	PreAuthCode(ctx context.Context, component string) (secret.Text, time.Duration, error)
	// QueryAuth exchanges an auth_code and returns WeChat's answer. A code that was
	// exchanged before must get the same answer.
	QueryAuth(ctx context.Context, component string, code secret.Text) ([]byte, error)
	// AuthorizerInfo returns what WeChat has on record of an authorizer.
	AuthorizerInfo(ctx context.Context, component, appID string) (wechat.Authorizer, error)
	// Now returns WeChat's time.
	Now() time.Time
}

// Options are what [Pages] are made of. Broker, PublicURL and Keys are needed; the rest
// has useful zero values.
type Options struct {
	Broker Broker
	// PublicURL is the world's address of the listener that serves the pages: http or
	// https, without a query.
	PublicURL string
	// Keys authenticate states. The first makes them, all of them verify. Replicas need
	// the same ones.
	Keys [][]byte
	// LandingURL is where a merchant goes on to after authorising, with a query that is
	// signed with LandingSecret; empty for the page of our own. One needs the other.
	LandingURL    string
	LandingSecret secret.Text
	// LoginURL takes the place of WeChat's hosts in the links to its authorization
	// pages, for trials with a simulator; empty for WeChat's.
	LoginURL string
	// ForwardedFor says that a proxy in front adds the visitor's address as the last of
	// X-Forwarded-For. Without it the peer counts as the visitor.
	ForwardedFor bool
	// Metrics and Log may be nil.
	Metrics *metrics.Metrics
	Log     *slog.Logger
}

// check returns o with its URLs in the form in which they are used.
func (o Options) check() (Options, error) {
	if o.Broker == nil || len(o.Keys) == 0 {
		return o, errors.New("authorize: Options.Broker and Keys are needed")
	}
	if (o.LandingURL == "") != o.LandingSecret.IsZero() {
		return o, errors.New("authorize: Options.LandingURL and LandingSecret need each other")
	}
	for name, text := range map[string]*string{"PublicURL": &o.PublicURL, "LandingURL": &o.LandingURL, "LoginURL": &o.LoginURL} {
		if *text == "" && name != "PublicURL" {
			continue
		}
		u, err := url.Parse(*text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" || u.RawQuery != "" && name != "LandingURL" {
			return o, fmt.Errorf("authorize: Options.%s is not a URL that can be used", name)
		}
	}
	o.PublicURL, o.LoginURL = strings.TrimRight(o.PublicURL, "/"), strings.TrimRight(o.LoginURL, "/")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
