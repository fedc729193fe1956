package admin

import (
	"net/http"
	"strings"
)

// route is one operation of the API. Its answer is JSON, with status 200 unless it is an
// accepted; an error becomes an [Error].
type route struct {
	method string
	path   string // below prefix; {name} stands for any one part that is not empty
	serve  func(a *api, r *http.Request) (any, error)
}

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// accepted is the answer to an act that has begun and not ended: status 202.
type accepted struct{ answer any }

// document is an answer that is no JSON.
type document struct{ contentType, text string }

// match reports whether the parts of a path are the route's, and sets what stands in the
// places of names.
func (o *route) match(r *http.Request, parts []string) bool {
	path := strings.Split(o.path, "/")
	if len(parts) != len(path) {
		return false
	}
	for i, want := range path {
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
	default:
		a.servePage(w, r)
	}
}

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
		writeError(w, methodNotAllowed(w, r, strings.Join(allowed, ", ")))
		return
	}
	writeError(w, fault(http.StatusNotFound, "not_found", "there is no such path; %sopenapi.yaml lists what there is", prefix))
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func methodNotAllowed(w http.ResponseWriter, r *http.Request, allowed string) *Error {
	w.Header().Set("Allow", allowed)
	return fault(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not what this path takes; use %s", clip(r.Method), strings.ReplaceAll(allowed, ", ", " or "))
}

// serveRoute answers one operation.
func (a *api) serveRoute(w http.ResponseWriter, r *http.Request, o *route) {
	answer, err := a.do(r, o)
	if err != nil {
		writeError(w, err)
		return
	}
	writeAnswer(w, answer)
}

// do does one operation, and logs it if it acts.
func (a *api) do(r *http.Request, o *route) (any, error) {
	leave, err := a.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := o.serve(a, r)
	if o.method != http.MethodGet {
		a.logAct(r, err)
	}
	return answer, err
}

// enter takes one of the places for requests, which leave gives back.
func (a *api) enter() (leave func(), err error) {
	select {
	case a.places <- struct{}{}:
		return func() { <-a.places }, nil
	default:
		return nil, fault(http.StatusServiceUnavailable, "busy", "more than %d requests at once; try again", maxAtOnce)
	}
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
