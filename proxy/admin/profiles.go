package admin

import (
	"context"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

// profiles is where Go's profiles are, under the names by which go tool pprof and go tool
// trace ask for them. net/http/pprof has more, and takes a third of a megabyte for it.
const profiles = "/debug/pprof/"

// serveProfile serves a profile if they are switched on.
func (a *api) serveProfile(w http.ResponseWriter, r *http.Request) {
	switch {
	case !a.Pprof:
		writeError(w, fault(http.StatusNotFound, "not_found", "profiles are switched off: set admin.pprof to true and restart"))
	case !isRead(r):
		writeError(w, methodNotAllowed(w, r, "GET, HEAD"))
	default:
		a.Log.Info("an operator takes a profile", "remote", remote(r), "path", clip(r.URL.EscapedPath()))
		if err := writeProfile(w, r, r.URL.Path[len(profiles):]); err != nil {
			writeError(w, err)
		}
	}
}

// writeProfile writes the profile of that name. An error means that nothing was written.
func writeProfile(w http.ResponseWriter, r *http.Request, name string) error {
	switch name {
	case "":
		reply(w, http.StatusOK, "text/plain; charset=utf-8", profileIndex())
		return nil
	case "profile":
		return record(w, r, 30, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case "trace":
		return record(w, r, 1, func() error { return trace.Start(w) }, trace.Stop)
	}
	p := pprof.Lookup(name)
	if p == nil {
		return fault(http.StatusNotFound, "not_found", "there is no profile %q; %s lists those that there are", clip(name), profiles)
	}
	debug := 0
	if r.URL.Query().Has("debug") {
		var err error
		if debug, err = number(r, "debug", 1, 2); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if debug > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = p.WriteTo(w, debug) // whoever has left needs no answer
	return nil
}

func profileIndex() string {
	text := "profile (?seconds=30)\ntrace (?seconds=1)\n"
	for _, p := range pprof.Profiles() {
		text += p.Name() + "\n"
	}
	return text
}

// record records something for as many seconds as the query says.
func record(w http.ResponseWriter, r *http.Request, seconds int, start func() error, stop func()) error {
	seconds, err := number(r, "seconds", seconds, 60)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		return fault(http.StatusConflict, "profile_taken", "%v: another profile is being taken; try again after it", err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	<-ctx.Done()
	return nil
}
