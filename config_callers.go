package main

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/seal"
)

func (l *Loaded) validateCallers() {
	names, keys := map[string]string{}, map[string]string{}
	for i, c := range l.Config.Callers {
		at := indexed("callers", i)
		if c.Name == "" {
			l.fault(at+".name", "", "missing", "logs and refusals name the caller by it")
		}
		if c.KeySHA256 == "" {
			l.fault(at+".key_sha256", "", "missing", "make it with: printf %s KEY | sha256sum")
		}
		l.hash(at+".key_sha256", c.KeySHA256)
		l.once(at+".name", c.Name, names)
		l.once(at+".key_sha256", strings.ToLower(c.KeySHA256), keys)
		l.appIDs(at+".appids", c.AppIDs)
		l.pathPatterns(at+".allow", c.Allow)
		l.pathPatterns(at+".deny", c.Deny)
	}
}

// once reports a value that another caller has too.
func (l *Loaded) once(key, value string, seen map[string]string) {
	if first, ok := seen[value]; ok && value != "" {
		l.fault(key, "", "the same as "+first, "each caller needs its own")
		return
	}
	seen[value] = key
}

func (l *Loaded) appIDs(key string, appIDs []string) {
	for i, appID := range appIDs {
		l.appID(indexed(key, i), appID)
	}
}

func (l *Loaded) pathPatterns(key string, patterns []string) {
	for i, p := range patterns {
		if !strings.HasPrefix(p, "/") || strings.Contains(strings.TrimSuffix(p, "*"), "*") || strings.ContainsAny(p, " ?#%") {
			l.fault(indexed(key, i), p, "not a path pattern", "write a path like /cgi-bin/menu/get, or its beginning with * at the end")
		}
	}
}

func (l *Loaded) validateEvents() {
	for i, e := range l.Config.Events {
		at := indexed("events", i)
		if e.URL == "" {
			l.fault(at+".url", "", "missing", "where the events are to be sent")
		} else if _, reason := parseWebURL(e.URL); reason != "" {
			l.fault(at+".url", shownURL(e.URL), reason, "write it like http://127.0.0.1:3000/wx")
		}
		l.appIDs(at+".appids", e.AppIDs)
		l.oneOf(at+".format", e.Format, "xml", "json")
	}
}

// redisSchemes are the stores that replicas share.
var redisSchemes = []string{"redis://", "rediss://", "redis-cluster://"}

func (l *Loaded) validateStore() {
	c := &l.Config
	l.keyFile("seal.key_file", c.Seal.KeyFile)
	l.keyFile("seal.previous_key_file", c.Seal.PreviousKeyFile)
	store := c.Store.Reveal()
	if store == "memory:" {
		l.warn("store", "with memory: every token and authorization is lost at the end of the process")
		return
	}
	if path, ok := strings.CutPrefix(store, "bolt:"); ok {
		if path == "" {
			l.fault("store", "", "bolt: without a path", "write it like bolt:/data/wxsidecar.db")
		}
		return
	}
	for _, scheme := range redisSchemes {
		if strings.HasPrefix(store, scheme) {
			l.fault("store", "", "a Redis store is not in this version", "use bolt:PATH")
			return
		}
	}
	if !l.faulty("store") && !l.faulty("store_file") {
		l.fault("store", "", "not a store", "write bolt:PATH, or memory: for trials")
	}
}

// keyFile checks that a key file that was named holds a key. It is read at the start only, so a change of it is not watched.
func (l *Loaded) keyFile(key, path string) {
	const howTo = "make one with: openssl rand -hex 32"
	if path == "" {
		return
	}
	_, err := seal.ReadKeyFile(path)
	var unreadable *fs.PathError
	switch {
	case errors.As(err, &unreadable):
		l.fault(key, shownKeyPath(path), "cannot be read: "+cause(err), howTo)
	case err != nil:
		l.fault(key, path, "does not hold a key", howTo)
	}
}

// parseSocketMode reads the octal mode of a socket.
func parseSocketMode(text string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, errors.New("not an octal file mode")
	}
	return fs.FileMode(mode), nil
}
