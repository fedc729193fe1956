package authorize

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// Pages serves the two pages. Make it with [New]. It is safe for concurrent use.
type Pages struct {
	mux           *http.ServeMux
	broker        Broker
	publicURL     string
	loginURL      string
	landingURL    string
	landingSecret secret.Text
	forwardedFor  bool
	cookieName    string
	secure        bool
	states        *states
	// limits are those of the first page, exchanges those of the second.
	limits, exchanges *limits
	metrics           *metrics.Metrics
	log               *slog.Logger
}

// New returns the pages. It fails if a needed option is missing or a URL cannot be used.
func New(o Options) (*Pages, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	p := &Pages{
		mux: http.NewServeMux(), broker: o.Broker, publicURL: o.PublicURL, loginURL: o.LoginURL, landingURL: o.LandingURL,
		landingSecret: o.LandingSecret, forwardedFor: o.ForwardedFor, cookieName: "wxsidecar-visit",
		states: newStates(o.Keys), limits: newLimits(), exchanges: newLimits(), metrics: o.Metrics, log: o.Log,
	}
	if p.secure = strings.HasPrefix(o.PublicURL, "https:"); p.secure {
		// Browsers take a cookie of that name from this host alone, so that no other host of
		// the domain can plant one.
		p.cookieName = "__Host-" + p.cookieName
	}
	p.mux.HandleFunc("GET /wechat/{component}/authorize", p.authorize)
	p.mux.HandleFunc("GET /wechat/{component}/authorized", p.authorized)
	return p, nil
}

// ServeHTTP implements [http.Handler] for GET and HEAD of /wechat/<component>/authorize and
// /wechat/<component>/authorized. The component must be configured: the limits remember
// each that is asked for.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }
