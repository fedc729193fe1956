package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/config"
)

var writeTable = flag.Bool("write", false, "write the table of docs/configuration.md, for make generate")

// The lines between which docs/configuration.md has what is generated.
const (
	tableBegins = "<!-- make generate writes this table from config/sections.go -->\n"
	tableEnds   = "<!-- end -->\n"
)

// The table of docs/configuration.md is the one that the code makes: keys, types, defaults, variables
// and flags of the program, and of each key what the comment of its field says.
func TestDocs_Configuration(t *testing.T) {
	const page = "docs/configuration.md"
	before, rest, begun := strings.Cut(readText(t, page), tableBegins)
	got, after, ended := strings.Cut(rest, tableEnds)
	if !begun || !ended {
		t.Fatalf("%s has no lines %q and %q", page, tableBegins, tableEnds)
	}
	want := configurationTable(t)
	if *writeTable {
		if err := os.WriteFile(page, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s is not current: make generate (-code +page):\n%s", page, d)
	}
}

func configurationTable(t *testing.T) string {
	t.Helper()
	g := keyTable{t: t, comments: fieldComments(t), flags: map[string]string{}}
	for _, f := range configFlags {
		g.flags[strings.Trim(fmt.Sprint(f.path), "[]")] = f.name
	}
	// What a reload takes over is what it would take over of a configuration that has every key.
	full := config.Load(config.Sources{File: "config/testdata/full.yaml"})
	if err := full.Err(); err != nil {
		t.Fatal(err)
	}
	config.TakeOver(&g.reloaded, &full.Config)
	g.text.WriteString("| key | type | default | variable, flag | a change needs | meaning |\n| --- | --- | --- | --- | --- | --- |\n")
	g.add(reflect.ValueOf(config.Default()), nil)
	return g.text.String()
}

// keyTable is a table of keys in the making.
type keyTable struct {
	t        *testing.T
	comments map[string]string // by type and field, as Listen.Apps
	flags    map[string]string // by the words of a path
	reloaded config.Config
	text     strings.Builder
}

// add adds the keys of a section, which has the path.
func (g *keyTable) add(section reflect.Value, path []string) {
	for i := range section.NumField() {
		field, value := section.Type().Field(i), section.Field(i)
		at := append(path[:len(path):len(path)], field.Tag.Get("yaml"))
		switch {
		case value.Kind() == reflect.Struct && field.Type != reflect.TypeFor[secret.Text]():
			g.add(value, at)
		case value.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct:
			g.add(reflect.New(field.Type.Elem()).Elem(), append(at, "[]"))
		default:
			g.row(at, value, g.meaning(section.Type().Name()+"."+field.Name))
		}
	}
}

func (g *keyTable) row(path []string, value reflect.Value, meaning string) {
	key := strings.ReplaceAll(strings.Join(path, "."), ".[]", "[]")
	variable := "`WXSIDECAR_" + strings.ToUpper(strings.ReplaceAll(strings.Join(path, "_"), "[]", "N")) + "`"
	if name, ok := g.flags[strings.Join(path, " ")]; ok {
		variable += ", `--" + name + "`"
	}
	change := "restart"
	if section := reflect.ValueOf(g.reloaded); !sectionOf(section, path[0]).IsZero() {
		change = "reload"
	}
	fmt.Fprintf(&g.text, "| `%s` | %s | %s | %s | %s | %s |\n", key, keyType(key, value), keyDefault(key, value), variable, change, meaning)
}

func sectionOf(c reflect.Value, name string) reflect.Value {
	return c.FieldByNameFunc(func(field string) bool {
		f, _ := c.Type().FieldByName(field)
		return f.Tag.Get("yaml") == name
	})
}

// meaning returns what the comment of a field says. The files of secrets have none of their own.
func (g *keyTable) meaning(field string) string {
	text := g.comments[field]
	if base, ok := strings.CutSuffix(field, "File"); text == "" && ok && g.comments[base] != "" {
		return "A file that holds it."
	}
	if text == "" {
		g.t.Errorf("config: the field %s has no comment that says what it means", field)
	}
	return strings.ReplaceAll(text, "|", `\|`)
}

// fieldComments returns the comments of the fields of every type in package config.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, path := range []string{"config/config.go", "config/sections.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					comments[spec.Name.Name+"."+f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
			return false
		})
	}
	return comments
}

// keyType is the page's word for what a key holds.
func keyType(key string, v reflect.Value) string {
	switch v.Interface().(type) {
	case secret.Text:
		return "secret"
	case time.Duration:
		return "time"
	case config.Size:
		return "size"
	case config.OneOrMore:
		return "text or list"
	case []string:
		return "list"
	case bool:
		return "bool"
	case string:
		if strings.HasPrefix(key, "listen.") || strings.HasPrefix(key, "alias.") {
			return "address"
		}
		return "text"
	default:
		return "number"
	}
}

// Defaults that depend on other keys, or that stand where the value is used.
var otherDefaults = map[string]string{
	"data_dir":        "folder of the store's file",
	"seal.key_file":   "`wxsidecar.key` in `data_dir`",
	"events[].format": "`xml`",
}

// keyDefault is the default of a key, as one writes it.
func keyDefault(key string, v reflect.Value) string {
	if other, ok := otherDefaults[key]; ok {
		return other
	}
	text := fmt.Sprint(v.Interface())
	switch d := v.Interface().(type) {
	case secret.Text:
		text = d.Reveal()
	case []string:
		text = strings.Join(d, ",")
	case config.OneOrMore:
		text = strings.Join(d, ",")
	case config.Size:
		if text = fmt.Sprintf("%dKiB", d>>10); d%(1<<20) == 0 {
			text = fmt.Sprintf("%dMiB", d>>20)
		}
	case time.Duration:
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
	}
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
