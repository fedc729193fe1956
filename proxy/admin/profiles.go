package admin

import (
	"net/http"
	"net/http/pprof"
)

// profiles is where Go's profiles are.
const profiles = "/debug/pprof/"

// serveProfile serves a profile if they are switched on.
func (a *api) serveProfile(w http.ResponseWriter, r *http.Request) {
	switch {
	case !a.Pprof:
		writeError(w, fault(http.StatusNotFound, "not_found", "profiles are switched off: set admin.pprof to true and restart"))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, fault(http.StatusMethodNotAllowed, "method_not_allowed", "only GET and HEAD"))
	default:
		a.Log.Info("an operator takes a profile", "remote", remote(r), "path", clip(r.URL.EscapedPath()))
		profileOf(r.URL.Path)(w, r)
	}
}

func profileOf(path string) http.HandlerFunc {
	switch path[len(profiles):] {
	case "cmdline": // flags may hold what is nobody's business
		return http.NotFound
	case "profile":
		return pprof.Profile
	case "symbol":
		return pprof.Symbol
	case "trace":
		return pprof.Trace
	default:
		return pprof.Index
	}
}
