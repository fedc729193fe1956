package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decoder fills a Config from a tree of YAML nodes and collects every fault on
// the way, where yaml's own decoder would name Go types and could not tell the
// file from the environment.
type decoder struct {
	file string
	// origins has the nodes that are not from the file.
	origins map[*yaml.Node]Origin
	// at has the place of every key that is given.
	at map[string]Origin
	// odd has the key of every value that looks like a slip of writing.
	odd    map[string]oddity
	faults []fault
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, origins: map[*yaml.Node]Origin{}, at: map[string]Origin{}, odd: map[string]oddity{}}
}

func (d *decoder) origin(n *yaml.Node) Origin {
	if o, ok := d.origins[n]; ok {
		return o
	}
	return Origin{fromFile, d.file, n.Line, n.Column}
}

func (d *decoder) fault(n *yaml.Node, key, value, reason, hint string) {
	d.faults = append(d.faults, fault{d.origin(n), key, value, reason, hint})
}

// value decodes n into v, which stands at path. Null leaves v as it is.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fault(n, path, "", "aliases are not supported", "write the value out")
	case isNull(n):
	case isMapping(v.Type()):
		d.mapping(n, v, path)
	case v.Type() == severalType && n.Kind == yaml.ScalarNode:
		d.note(path, v.Type(), n.Value)
		v.Set(reflect.ValueOf(OneOrMore{n.Value}))
	case v.Kind() == reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if reason, hint := slipOf(n); reason != "" {
		d.fault(n, path, "", reason, hint)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "", "want keys with values, got "+kindName(n), "write its keys below it, further in, each with a colon")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if first, ok := seen[key.Value]; ok {
			d.fault(key, keyPath(path, shownName(key.Value)), "", fmt.Sprintf("the key is given a second time (first in line %d)", first), "keep one")
			continue
		}
		seen[key.Value] = key.Line
		d.entry(key, n.Content[i+1], v, path)
	}
}

// entry decodes one key of a mapping.
func (d *decoder) entry(key, value *yaml.Node, v reflect.Value, path string) {
	var names []string
	full := keyPath(path, key.Value)
	for _, k := range keysOf(v.Type()) {
		if k.name == key.Value {
			if !isNull(value) {
				d.at[full] = d.origin(key)
			}
			d.value(value, v.Field(k.index), full)
			return
		}
		names = append(names, k.name)
	}
	if key.Value == "<<" {
		d.fault(key, full, "", "aliases are not supported", "write the keys out")
		return
	}
	if reason, hint := slipOfKey(key.Value); reason != "" {
		d.fault(key, path, "", reason, hint)
		return
	}
	d.fault(key, keyPath(path, shownName(key.Value)), "", "unknown key", unknownKeyHint(key.Value, path, names))
}

var (
	nameForm = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_.-]*$`)
	// longestName is more than any key's name has, and less than an AppSecret.
	longestName = 30
)

// shownName returns the name of an unknown key for a report. What has not the form of
// a name may be a secret, put where its key belongs, and is not shown.
func shownName(name string) string {
	if len(name) > longestName || !nameForm.MatchString(name) {
		return "…"
	}
	return name
}

func unknownKeyHint(key, path string, names []string) string {
	if near := nearest(key, names); near != "" {
		return "did you mean " + keyPath(path, near) + "?"
	}
	for _, known := range leafPaths(configType, "") {
		if strings.HasSuffix(known, "."+key) {
			return "there is " + known
		}
	}
	return "the keys here are " + strings.Join(names, ", ")
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "", "want a list, got "+kindName(n), "write [a, b], or a line with \"- \" for each")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		full := fmt.Sprintf("%s[%d]", path, i)
		d.at[full] = d.origin(element)
		d.value(element, v.Index(i), full)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "", "want a single value, got "+kindName(n), "write one value behind the colon; quotes keep special characters together")
		return
	}
	d.note(path, v.Type(), n.Value)
	reason, hint := setScalar(v, n.Value)
	if reason == "" {
		return
	}
	shown := n.Value
	if confidential(path, v.Type()) {
		shown = ""
	}
	d.fault(n, path, shown, reason, hint)
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
