package main

import (
	"fmt"
	"reflect"
	"strings"
)

// knownKeys returns the keys that there are where err tells of one that is not known, and ""
// otherwise. The decoder calls a place in the file by its type.
func knownKeys(err error) string {
	text := ""
	for _, place := range []struct {
		name     string
		settings any
	}{{"the file", config{}}, {"components", componentConfig{}}, {"accounts", accountConfig{}}} {
		t := reflect.TypeOf(place.settings)
		if strings.Contains(err.Error(), "not found in type "+t.String()) {
			text += fmt.Sprintf("; keys of %s: %s", place.name, strings.Join(keysOf(t), ", "))
		}
	}
	return text
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}
