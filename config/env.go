package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	// EnvPrefix begins the name of every variable that says something here.
	EnvPrefix = "WXSIDECAR_"
	// EnvFile names the file when --config does not.
	EnvFile = EnvPrefix + "CONFIG"
	// envComponent is short for the first component's prefix, since most have one.
	envComponent = EnvPrefix + "COMPONENT_"
)

// envOfService matches names that Kubernetes makes of a Service's, without the prefix.
var envOfService = regexp.MustCompile(
	`^(SERVICE_.*|PORT.*|\w+_SERVICE_HOST|\w+_SERVICE_PORT(_\w+)?|\w+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// Environment is a process Environment by name.
type Environment map[string]string

// NewEnvironment takes what os.Environ returns.
func NewEnvironment(environ []string) Environment {
	env := make(Environment, len(environ))
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

// assignments returns what the environment says about the configuration, lists in
// the order of their indices, and a warning for each WXSIDECAR_ variable that
// says nothing. An empty variable counts as unset, as a template's ${NAME:-}
// leaves it.
func (env Environment) assignments() (found []Assignment, warnings []string) {
	for name, value := range env {
		if !strings.HasPrefix(name, EnvPrefix) || name == EnvFile || value == "" {
			continue
		}
		path, typ := pathOfVariable(name)
		switch {
		case path != nil:
			found = append(found, Assignment{
				From: Origin{rank: fromEnv, name: name}, Path: path, Value: value, list: typ.Kind() == reflect.Slice,
			})
		case !fromKubernetes(name, value):
			warnings = append(warnings, unknownVariable(name))
		}
	}
	sort.Slice(found, func(i, j int) bool { return sortKey(found[i]) < sortKey(found[j]) })
	slices.Sort(warnings)
	return found, warnings
}

// fromKubernetes reports whether Kubernetes gives every pod the variable, for a
// Service called wxsidecar, or wxsidecar-push and the like. WXSIDECAR_PUSH_PORT is
// one only with an address in it: with a number somebody means a setting.
func fromKubernetes(name, value string) bool {
	rest := strings.TrimPrefix(name, EnvPrefix)
	return envOfService.MatchString(rest) || strings.HasSuffix(rest, "_PORT") && strings.Contains(value, "://")
}

// sortKey orders assignments by path, indices as numbers, and the short names of
// the first component before the long.
func sortKey(a Assignment) string {
	var b strings.Builder
	for _, step := range a.Path {
		if i, ok := step.(int); ok {
			fmt.Fprintf(&b, "%09d.", i)
			continue
		}
		fmt.Fprintf(&b, "%s.", step)
	}
	return b.String() + a.From.name
}

// pathOfVariable returns the path of the key that a variable stands for and the
// key's type, or nil.
func pathOfVariable(name string) ([]any, reflect.Type) {
	rest := strings.TrimPrefix(name, EnvPrefix)
	if short, ok := strings.CutPrefix(name, envComponent); ok {
		rest = "COMPONENTS_0_" + short
	}
	return matchVariable(configType, rest)
}

// matchVariable finds the way from t along rest, an upper-case path with
// underscores between the steps. A step may hold underscores itself, so each key
// that fits is tried.
func matchVariable(t reflect.Type, rest string) ([]any, reflect.Type) {
	for _, k := range keysOf(t) {
		after, ok := strings.CutPrefix(rest, strings.ToUpper(k.name))
		if !ok {
			continue
		}
		if after == "" && !isMapping(k.typ) && !isListOfMappings(k.typ) {
			return []any{k.name}, k.typ
		}
		below, ok := strings.CutPrefix(after, "_")
		if !ok {
			continue
		}
		if path, typ := matchBelow(k.typ, below); path != nil {
			return append([]any{k.name}, path...), typ
		}
	}
	return nil, nil
}

func matchBelow(t reflect.Type, rest string) ([]any, reflect.Type) {
	switch {
	case isMapping(t):
		return matchVariable(t, rest)
	case isListOfMappings(t):
		number, below, _ := strings.Cut(rest, "_")
		i, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, nil
		}
		if path, typ := matchVariable(t.Elem(), below); path != nil {
			return append([]any{int(i)}, path...), typ
		}
	}
	return nil, nil
}

// unknownVariable words the warning for a variable that names no key.
func unknownVariable(name string) string {
	known := []string{EnvFile}
	for _, path := range leafPaths(configType, "") {
		known = append(known, variableOfPath(path))
	}
	if strings.HasPrefix(name, envComponent) {
		for i, k := range known {
			known[i] = shortVariable(k)
		}
	}
	warning := "environment " + name + ": unknown variable, ignored"
	if near := nearest(name, known); near != "" {
		warning += "; did you mean " + near + "?"
	}
	return warning
}

// variableOfPath returns the variable of a key: components[0].appid is
// WXSIDECAR_COMPONENTS_0_APPID.
func variableOfPath(path string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "[", "_", "]", "").Replace(path))
}

// shortVariable returns the short name of a variable of the first component.
func shortVariable(name string) string {
	return strings.Replace(name, EnvPrefix+"COMPONENTS_0_", envComponent, 1)
}
