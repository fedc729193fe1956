package config

import (
	"reflect"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// The schema of the configuration is the type Config itself: the yaml tags name
// the keys, the types say what a value must look like. Everything here is plain
// field reflection; looking methods up by name would switch off the linker's
// dead-code elimination.

var (
	secretType   = reflect.TypeFor[secret.Text]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	severalType  = reflect.TypeFor[OneOrMore]()
	configType   = reflect.TypeFor[Config]()
)

// schemaKey is one key of a mapping.
type schemaKey struct {
	name  string
	index int
	typ   reflect.Type
}

// keysOf returns the keys of a struct type in the order of its fields.
func keysOf(t reflect.Type) []schemaKey {
	keys := make([]schemaKey, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		keys = append(keys, schemaKey{f.Tag.Get("yaml"), i, f.Type})
	}
	return keys
}

// isMapping reports whether t has keys of its own.
func isMapping(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != secretType }

// isListOfMappings reports whether t is a list whose elements have keys.
func isListOfMappings(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && isMapping(t.Elem())
}

// confidential reports whether the value of a key is never shown: secrets, and
// what people put a secret into by mistake.
func confidential(key string, t reflect.Type) bool {
	return t == secretType || strings.Contains(key, "key_sha256")
}

// keyPath returns the path of the key name below parent.
func keyPath(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "." + name
}

// leafPaths returns the path of every key that holds a value, lists of mappings
// with the index 0.
func leafPaths(t reflect.Type, parent string) []string {
	var paths []string
	for _, k := range keysOf(t) {
		path := keyPath(parent, k.name)
		switch {
		case isMapping(k.typ):
			paths = append(paths, leafPaths(k.typ, path)...)
		case isListOfMappings(k.typ):
			paths = append(paths, leafPaths(k.typ.Elem(), path+"[0]")...)
		default:
			paths = append(paths, path)
		}
	}
	return paths
}

// nearest returns the candidate that word is most likely a misspelling of, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+len(word)/3
	for _, c := range candidates {
		if d := editDistance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance counts the single-byte insertions, deletions and substitutions
// that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
