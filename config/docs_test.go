package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// tableRows returns the cells of each row of text's tables whose first cell is in
// backquotes; it stands there without them.
func tableRows(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		line = strings.Trim(strings.TrimSpace(line), "|")
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(c), "\x00", "|")
		}
		cells[0] = strings.Trim(cells[0], "`")
		rows = append(rows, cells)
	}
	return rows
}

// docs/configuration.md has every key in the order of the schema, with its type,
// variable and default.
func TestDocs_Configuration(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	schema := keyDocs(reflect.ValueOf(Default()), "")
	rows := tableRows(string(text))
	var want, got []string
	for _, k := range schema {
		want = append(want, k.path)
	}
	for _, row := range rows {
		got = append(got, row[0])
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("keys (-schema +document):\n%s", d)
	}
	for i, k := range schema {
		row := rows[i]
		if len(row) != 5 || row[4] == "" {
			t.Errorf("%s: %d cells, want 5 with a meaning", k.path, len(row))
			continue
		}
		if !slices.Contains(k.types, row[1]) {
			t.Errorf("%s: type %s, want one of %v", k.path, row[1], k.types)
		}
		if k.value != "" && row[2] != "`"+k.value+"`" {
			t.Errorf("%s: default %s, want `%s`", k.path, row[2], k.value)
		}
		if want := "`" + strings.ReplaceAll(variableOfPath(strings.ReplaceAll(k.path, "[]", "[0]")), "_0_", "_N_") + "`"; row[3] != want {
			t.Errorf("%s: variable %s, want %s", k.path, row[3], want)
		}
	}
}

// keyDoc is what the document must say of a key. An empty value says that there is
// no default to compare.
type keyDoc struct {
	path  string
	types []string
	value string
}

func keyDocs(v reflect.Value, parent string) []keyDoc {
	var all []keyDoc
	for _, k := range keysOf(v.Type()) {
		path, field := keyPath(parent, k.name), v.Field(k.index)
		switch {
		case isMapping(k.typ):
			all = append(all, keyDocs(field, path)...)
		case isListOfMappings(k.typ):
			all = append(all, keyDocs(reflect.New(k.typ.Elem()).Elem(), path+"[]")...)
		default:
			all = append(all, keyDoc{path, typeNames(k.typ), shownDefault(field)})
		}
	}
	return all
}

// typeNames are the words of the document for a type.
func typeNames(t reflect.Type) []string {
	switch {
	case t == secretType:
		return []string{"secret"}
	case t == durationType:
		return []string{"time"}
	case t == sizeType:
		return []string{"size"}
	case t == severalType:
		return []string{"text or list"}
	case t.Kind() == reflect.Slice:
		return []string{"list"}
	case t.Kind() == reflect.Bool:
		return []string{"bool"}
	case t.Kind() == reflect.String:
		return []string{"text", "address"}
	default:
		return []string{"number"}
	}
}

// shownDefault writes a default as the document does.
func shownDefault(v reflect.Value) string {
	switch d := v.Interface().(type) {
	case secret.Text:
		return d.Reveal()
	case time.Duration:
		text := strings.TrimSuffix(d.String(), "m0s")
		if text != d.String() {
			text += "m"
		}
		return text
	case Size:
		if d >= 1<<20 {
			return fmt.Sprintf("%dMiB", d>>20)
		}
		return fmt.Sprintf("%dKiB", d>>10)
	case OneOrMore:
		return strings.Join(d, ",")
	case []string:
		return strings.Join(d, ",")
	default:
		return fmt.Sprint(d)
	}
}
