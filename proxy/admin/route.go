package admin

import (
	"net/http"
	"strings"
)

// route is one operation of the API. Its answer is JSON, with status 200 unless it is an
// accepted; an error becomes an [Error].
type route struct {
	method string
	path   []string // below prefix; {name} stands for any one part that is not empty
	serve  func(r *http.Request) (any, error)
}

// accepted is the answer to an act that has begun and not ended: status 202.
type accepted struct{ answer any }

// document is an answer that is no JSON.
type document struct{ contentType, text string }

func get(path string, serve func(*http.Request) (any, error)) route {
	return route{http.MethodGet, strings.Split(path, "/"), serve}
}

func post(path string, serve func(*http.Request) (any, error)) route {
	return route{http.MethodPost, strings.Split(path, "/"), serve}
}

// match reports whether the parts of a path are the route's, and sets what stands in the
// places of names.
func (o *route) match(r *http.Request, parts []string) bool {
	if len(parts) != len(o.path) {
		return false
	}
	for i, want := range o.path {
		if name, ok := strings.CutPrefix(want, "{"); ok && parts[i] != "" {
			r.SetPathValue(strings.TrimSuffix(name, "}"), parts[i])
		} else if want != parts[i] {
			return false
		}
	}
	return true
}

// serve answers what the guard has let in.
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	path, isAPI := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case isAPI:
		a.serveAPI(w, r, strings.Split(path, "/"))
	case strings.HasPrefix(r.URL.Path, profiles):
		a.serveProfile(w, r)
	case a.Page != nil:
		a.Page.ServeHTTP(w, r)
	default:
		readOnly{"/": text(adminIndex)}.ServeHTTP(w, r)
	}
}

const adminIndex = `wxsidecar, for operators

/api/v1/status        what is wrong, first, and how everything is
/api/v1/openapi.yaml  what else there is
`

func (a *api) serveAPI(w http.ResponseWriter, r *http.Request, parts []string) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allowed []string
	for i := range a.routes {
		o := &a.routes[i]
		if !o.match(r, parts) {
			continue
		}
		if o.method == method {
			a.serveRoute(w, r, o)
			return
		}
		allowed = append(allowed, o.method)
		if o.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeError(w, fault(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not what this path takes; use %s", clip(r.Method), strings.Join(allowed, " or ")))
		return
	}
	writeError(w, fault(http.StatusNotFound, "not_found", "there is no such path; %sopenapi.yaml lists what there is", prefix))
}

// serveRoute answers one operation, and logs it if it acts.
func (a *api) serveRoute(w http.ResponseWriter, r *http.Request, o *route) {
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		writeError(w, fault(http.StatusServiceUnavailable, "busy", "more than %d requests at once; try again", maxAtOnce))
		return
	}
	answer, err := o.serve(r)
	if o.method != http.MethodGet {
		a.logAct(r, err)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeAnswer(w, answer)
}

// logAct logs what an operator has done: who, what, and what came of it.
func (a *api) logAct(r *http.Request, err error) {
	about := []any{"remote", remote(r), "act", r.Method + " " + clip(r.URL.EscapedPath())}
	if err != nil {
		a.Log.Warn("an operator's act was refused or failed", append(about, "error", err)...)
		return
	}
	a.Log.Info("an operator acts", append(about, "query", clip(r.URL.RawQuery))...)
}

// remote is who calls, for the log.
func remote(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "unix socket"
	}
	return r.RemoteAddr
}

// clip bounds a text that the caller chose.
func clip(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
