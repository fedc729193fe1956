package config

import (
	"strings"
)

func (l *Loaded) validateCallers() {
	names, keys := map[string]string{}, map[string]string{}
	for i, c := range l.Config.Callers {
		at := indexed("callers", i)
		if c.Name == "" {
			l.fault(at+".name", "", "missing", "logs and refusals name the caller by it")
		}
		l.once(at+".name", c.Name, names)
		l.callerKeys(at+".key_sha256", c.KeySHA256, keys)
		l.appIDs(at+".appids", c.AppIDs)
		for n, appID := range c.Components {
			l.configured(indexed(at+".components", n), appID)
		}
		l.pathPatterns(at+".allow", c.Allow)
		l.pathPatterns(at+".deny", c.Deny)
	}
}

// callerKeys checks the hashes of a caller's keys, and that no key is given twice.
func (l *Loaded) callerKeys(key string, hashes OneOrMore, seen map[string]string) {
	if len(hashes) == 0 && !l.faulty(key) {
		l.fault(key, "", "missing", howToHash)
	}
	for i, hash := range hashes {
		at := key
		if len(hashes) > 1 {
			at = indexed(key, i)
		}
		if hash == "" {
			l.fault(at, "", "missing", howToHash)
		}
		l.hash(at, hash)
		l.once(at, strings.ToLower(hash), seen)
	}
}

const howToHash = "make it with: printf %s KEY | sha256sum"

// once reports a value that another caller has too.
func (l *Loaded) once(key, value string, seen map[string]string) {
	if first, ok := seen[value]; ok && value != "" {
		hint := "each caller needs its own"
		if caller, _, _ := strings.Cut(key, "."); strings.HasPrefix(first, caller+".") {
			hint = "keep one of the two"
		}
		l.fault(key, "", "the same as "+first, hint)
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
		if strings.Contains(p, "//") {
			l.fault(indexed(key, i), p, "no path has an empty segment", "write one slash where there are several: calls with more are matched without them")
			continue
		}
		if !strings.HasPrefix(p, "/") || strings.Contains(strings.TrimSuffix(p, "*"), "*") || strings.ContainsAny(p, " ?#%") {
			l.fault(indexed(key, i), p, "not a path pattern", "write a path like /cgi-bin/menu/get, or its beginning with * at the end")
		}
	}
}
