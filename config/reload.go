package config

import (
	"reflect"
	"slices"
)

// TakeOver copies the keys that can change while the sidecar runs.
func TakeOver(to, from *Config) {
	to.Components, to.Accounts, to.Callers, to.Events = from.Components, from.Accounts, from.Callers, from.Events
}

// later are the keys whose work is not in this version, though their values are
// checked.
var later = []string{
	"admin.key_sha256", "admin.pprof",
}

// AdminKey is the key of the listener that nothing opens in this version.
const AdminKey = "listen.admin"

// Inert returns the keys that somebody has set and that do nothing in this version.
func (l *Loaded) Inert() []string {
	defaults := Default()
	set := differences(reflect.ValueOf(defaults), reflect.ValueOf(l.Config), "")
	set = slices.DeleteFunc(set, func(key string) bool { return !slices.Contains(later, key) })
	if l.given(AdminKey) && l.Config.Listen.Admin != Off {
		set = append(set, AdminKey) // also where the default was written out: somebody counts on it
	}
	return set
}

// FixedChanges returns the keys that differ and can only be taken over by a
// restart.
func FixedChanges(old, changed *Config) []string {
	same := *changed
	TakeOver(&same, old)
	return differences(reflect.ValueOf(*old), reflect.ValueOf(same), "")
}

func differences(a, b reflect.Value, path string) []string {
	var keys []string
	for _, k := range keysOf(a.Type()) {
		full, x, y := keyPath(path, k.name), a.Field(k.index), b.Field(k.index)
		switch {
		case isMapping(k.typ):
			keys = append(keys, differences(x, y, full)...)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, full)
		}
	}
	return keys
}
