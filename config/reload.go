package config

import "reflect"

// TakeOver copies the keys that can change while the sidecar runs.
func TakeOver(to, from *Config) {
	to.Components, to.Accounts, to.Callers, to.Events = from.Components, from.Accounts, from.Callers, from.Events
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
