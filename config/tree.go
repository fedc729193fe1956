package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Assignment is one value from the environment or a flag.
type Assignment struct {
	// From is where it was said.
	From Origin
	// Path leads to the key: a name (string) or an index (int) for each step.
	Path []any
	// Value is what the key gets.
	Value string
	// list says that the key holds a list of texts, given with commas.
	list bool
}

// assign puts a into the tree, as if it had been written in the file. A step
// that finds something of another kind in the file ends silently: the decoder
// reports what is there.
func (d *decoder) assign(root *yaml.Node, a Assignment) {
	n := root
	for i, step := range a.Path[:len(a.Path)-1] {
		switch step := step.(type) {
		case string:
			_, index := a.Path[i+1].(int)
			n = d.child(n, step, a.From, index)
		case int:
			n = d.element(n, step, a)
		}
		if n == nil {
			return
		}
	}
	name, _ := a.Path[len(a.Path)-1].(string)
	dropSibling(n, name, d, a.From.rank)
	d.set(n, name, a)
}

// child returns the node of the key name in the mapping n, made if it is absent.
func (d *decoder) child(n *yaml.Node, name string, from Origin, wantList bool) *yaml.Node {
	kind := yaml.MappingNode
	if wantList {
		kind = yaml.SequenceNode
	}
	if _, value := lookup(n, name); value != nil {
		if isNull(value) {
			*value = yaml.Node{Kind: kind}
			d.origins[value] = from
		}
		if value.Kind != kind {
			return nil
		}
		return value
	}
	return d.add(n, name, &yaml.Node{Kind: kind}, from)
}

// element returns the mapping at index i of the list n. Only the one after the
// last can be made.
func (d *decoder) element(n *yaml.Node, i int, a Assignment) *yaml.Node {
	if i > len(n.Content) {
		d.faults = append(d.faults, fault{
			at: a.From, key: pathText(a.Path),
			reason: fmt.Sprintf("there is no number %d before it", len(n.Content)), hint: "count from 0 without a gap",
		})
		return nil
	}
	if i == len(n.Content) {
		made := &yaml.Node{Kind: yaml.MappingNode}
		d.origins[made] = a.From
		n.Content = append(n.Content, made)
	}
	if n.Content[i].Kind != yaml.MappingNode {
		return nil
	}
	return n.Content[i]
}

// set gives the key name of the mapping n the assignment's value, in place of any
// that it had.
func (d *decoder) set(n *yaml.Node, name string, a Assignment) {
	value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: a.Value}
	if a.list {
		value = d.listNode(a)
	}
	d.origins[value] = a.From
	if key, old := lookup(n, name); old != nil {
		d.origins[key] = a.From
		d.origins[old] = a.From
		*old = *value
		return
	}
	d.add(n, name, value, a.From)
}

func (d *decoder) listNode(a Assignment) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for part := range strings.SplitSeq(a.Value, ",") {
		element := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(part)}
		d.origins[element] = a.From
		list.Content = append(list.Content, element)
	}
	return list
}

func (d *decoder) add(n *yaml.Node, name string, value *yaml.Node, from Origin) *yaml.Node {
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}
	d.origins[key], d.origins[value] = from, from
	n.Content = append(n.Content, key, value)
	return value
}

// dropSibling removes x_file when x is assigned, and x when x_file is, if it came
// from a source of lower rank: the higher one replaces the secret however it is
// given.
func dropSibling(n *yaml.Node, name string, d *decoder, rank rank) {
	sibling := name + "_file"
	if base, ok := strings.CutSuffix(name, "_file"); ok {
		sibling = base
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == sibling && d.origin(n.Content[i]).rank < rank {
			n.Content = append(n.Content[:i:i], n.Content[i+2:]...)
			return
		}
	}
}

func lookup(n *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// pathText writes a path as the reports do: components[0].appid.
func pathText(path []any) string {
	text := ""
	for _, step := range path {
		switch step := step.(type) {
		case string:
			text = keyPath(text, step)
		case int:
			text += fmt.Sprintf("[%d]", step)
		}
	}
	return text
}
