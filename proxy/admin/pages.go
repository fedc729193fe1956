package admin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// TokenStatus says which tokens are missing. *broker.Broker implements it.
type TokenStatus interface {
	// Missing returns the components and own accounts that hold no living token;
	// empty when all do. It is safe for concurrent use and does not block.
	Missing() []broker.Missing
	// Status returns the state of all components and own accounts, on the same terms.
	Status() []broker.KeyStatus
	// Coordination returns how the sidecar gets on with others on a store that they share,
	// and false for one that is alone.
	Coordination() (broker.CoordinationStatus, bool)
	// Tickets returns how old the components' tickets are, on the same terms.
	Tickets() []broker.TicketStatus
}

// MetricsOptions are what the metrics listener shows. Status is needed.
type MetricsOptions struct {
	// Metrics is shown at /metrics, which is 404 when it is nil. Four scrapes are made
	// at once; more are answered 503.
	Metrics *metrics.Metrics
	// Status is shown at /tokenz.
	Status TokenStatus
	// Ready returns why the sidecar cannot take calls (a listener not open, the
	// store never opened, draining), one reason a line, and nil when it can. Nil
	// means always ready. It must not ask for tokens: a Service drops pods that are
	// not ready, and the first ticket could then never arrive.
	Ready func() error
	// CAPEM returns the certificate that apps must trust, in PEM, or nothing while
	// there is none; then, and when CAPEM is nil, /ca.pem is 404.
	CAPEM func() []byte
	// DeadLetters returns the events that no app took, the oldest first; nil for none.
	DeadLetters func() []outbox.DeadLetter
}

// NewMetricsHandler returns the handler of the metrics listener. It answers GET and
// HEAD on the paths that / lists, and nothing else. It is safe for concurrent use.
func NewMetricsHandler(o MetricsOptions) (http.Handler, error) {
	if o.Status == nil {
		return nil, errors.New("admin: MetricsOptions.Status is nil")
	}
	pages := readOnly{
		"/":       o.index,
		"/livez":  text("ok\n"),
		"/readyz": o.readyz,
		"/tokenz": o.tokenz,
	}
	if o.Metrics != nil {
		pages["/metrics"] = limitScrapes(o.Metrics.Handler())
	}
	if o.CAPEM != nil {
		pages["/ca.pem"] = o.caPEM
	}
	return pages, nil
}

const index = `wxsidecar

/metrics  for Prometheus
/livez    200 while the process answers
/readyz   200 when calls and pushes are taken, else 503 and why not
/tokenz   200 when every component and own account holds a living token, else 503 and what is missing;
          /tokenz?verbose shows all of them, and what stands against their next renewal
/ca.pem   the certificate that apps which call api.weixin.qq.com through the proxy must trust
`

// index lists the pages, and below them what an operator wants to see first.
func (o MetricsOptions) index(w http.ResponseWriter, _ *http.Request) {
	body := index + "\n"
	if c, shared := o.Status.Coordination(); shared && c.Error != "" {
		body += fmt.Sprintf("store: %s, living tokens are served and renewals wait: %s\n", c.State, c.Error)
	}
	for _, t := range o.Status.Tickets() {
		if t.Held {
			body += fmt.Sprintf("component %s: newest ticket %s old (one comes every ten minutes)\n", t.Component, t.Age.Round(time.Second))
		} else {
			body += fmt.Sprintf("component %s: no ticket yet\n", t.Component)
		}
	}
	for _, k := range o.Status.Status() {
		switch {
		case k.State != broker.StateLive.String():
			body += fmt.Sprintf("missing: the token of %s %s: %s: %s\n", k.Kind, k.AppID, k.State, k.Reason)
		case k.Trouble != nil && k.ExpiresAt != nil:
			body += fmt.Sprintf("trouble: the token of %s %s lives until %s and cannot be renewed: %s: %s\n",
				k.Kind, k.AppID, k.ExpiresAt.Format(time.RFC3339), k.Trouble.Cause, k.Trouble.Reason)
		}
	}
	reply(w, http.StatusOK, "text/plain; charset=utf-8", body+o.deadLetters())
}

// deadLettersShown is how many dead letters the page lists.
const deadLettersShown = 50

// deadLetters lists the events that no app took, the last ones, without what they say.
func (o MetricsOptions) deadLetters() string {
	if o.DeadLetters == nil {
		return ""
	}
	all := o.DeadLetters()
	text := ""
	if left := len(all) - deadLettersShown; left > 0 {
		text = fmt.Sprintf("dead letters: %d older ones are not shown\n", left)
		all = all[left:]
	}
	for _, d := range all {
		text += fmt.Sprintf("dead letter: %s of %s for component %s, id %s, came %s and was given up %s: %s (SIGHUP has it delivered again)\n",
			d.InfoType, cmp.Or(d.AppID, "no account"), d.Component, d.ID, d.Added.UTC().Format(time.RFC3339), d.Died.UTC().Format(time.RFC3339), d.Reason)
	}
	return text
}

// readOnly serves pages by their exact path. A ServeMux would redirect unclean paths.
type readOnly map[string]http.HandlerFunc

// ServeHTTP implements [http.Handler].
func (pages readOnly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	page, known := pages[r.URL.Path]
	switch {
	case !known:
		reply(w, http.StatusNotFound, "text/plain; charset=utf-8", "not found; / lists what there is\n")
	case !isRead(r):
		w.Header().Set("Allow", "GET, HEAD")
		reply(w, http.StatusMethodNotAllowed, "text/plain; charset=utf-8", "only GET and HEAD\n")
	default:
		page(w, r)
	}
}

func reply(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that has left needs no answer
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, "text/plain; charset=utf-8", body)
	}
}

func (o MetricsOptions) readyz(w http.ResponseWriter, _ *http.Request) {
	status, body := http.StatusOK, "ok\n"
	if o.Ready != nil {
		if err := o.Ready(); err != nil {
			status, body = http.StatusServiceUnavailable, err.Error()+"\n"
		}
	}
	reply(w, status, "text/plain; charset=utf-8", body)
}

func (o MetricsOptions) caPEM(w http.ResponseWriter, _ *http.Request) {
	pem := o.CAPEM()
	if len(pem) == 0 {
		reply(w, http.StatusNotFound, "text/plain; charset=utf-8", "there is no certificate yet\n")
		return
	}
	reply(w, http.StatusOK, "application/x-pem-file", string(pem))
}
