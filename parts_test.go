package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// brokerParts are the types of which package broker is made, in the order in which they
// may know each other: each those before it and itself. A file belongs to the part whose
// prefix its name begins with; what begins with none holds values, and knows no part.
var brokerParts = []struct {
	typeName string
	prefixes []string
	knows    []string // beside itself
}{
	{"table", []string{"table", "entry", "cache"}, nil},
	{"ledger", []string{"ledger"}, nil},
	{"directory", []string{"directory"}, []string{"table", "ledger"}},
	{"component", []string{"component"}, []string{"table", "ledger", "directory", "components", "platform"}},
	{"inbox", []string{"inbox", "exchange"}, []string{"table", "ledger", "directory", "component", "components"}},
	{"renewer", []string{"renew", "failure"}, []string{"table", "ledger", "directory", "component", "components"}},
	{"replicas", []string{"replicas"}, []string{"table", "ledger", "directory", "component", "components", "inbox"}},
	{"Importer", []string{"import"}, []string{"ledger"}},
	{"Broker", []string{"broker", "token_wait"}, []string{"table", "ledger", "directory", "component", "components", "inbox", "renewer", "replicas"}},
}

// partOf returns which part a file is of, and which types it may mention.
func partOf(file string) (part string, knows []string) {
	for _, p := range brokerParts {
		for _, prefix := range p.prefixes {
			if rest, ok := strings.CutPrefix(file, prefix); ok && (rest[0] == '.' || rest[0] == '_') {
				return p.typeName, append([]string{p.typeName}, p.knows...)
			}
		}
	}
	return "", nil
}

func isPart(name string) bool {
	for _, p := range brokerParts {
		if p.typeName == name || slices.Contains(p.knows, name) {
			return true
		}
	}
	return false
}

// strayUses returns where a file uses a part that it must not know, or a function that
// needs a lock of another part's.
func (c *checker) strayUses(path string, files []*ast.File) ([]string, error) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	if _, err := (&types.Config{Importer: c.importer}).Check(path, c.fset, files, info); err != nil {
		return nil, err
	}
	var stray []string
	for id, used := range info.Uses {
		at := c.fset.Position(id.Pos())
		part, knows := partOf(filepath.Base(at.Filename))
		if _, isType := used.(*types.TypeName); isType && used.Pkg() != nil && used.Pkg().Path() == path && isPart(id.Name) && !slices.Contains(knows, id.Name) {
			stray = append(stray, fmt.Sprintf("%s: uses the type %s", at, id.Name))
		}
		if strings.HasSuffix(id.Name, "Locked") {
			if owner, _ := partOf(filepath.Base(c.fset.Position(used.Pos()).Filename)); owner != part && owner != "" {
				stray = append(stray, fmt.Sprintf("%s: calls %s, which needs the lock of %s", at, id.Name, owner))
			}
		}
	}
	for sel, s := range info.Selections {
		at := c.fset.Position(sel.Pos())
		_, knows := partOf(filepath.Base(at.Filename))
		if named, ok := pointee(s.Recv()).(*types.Named); ok && isPart(named.Obj().Name()) && !slices.Contains(knows, named.Obj().Name()) {
			stray = append(stray, fmt.Sprintf("%s: uses %s of %s", at, sel.Sel.Name, named.Obj().Name()))
		}
	}
	slices.Sort(stray)
	return stray, nil
}

// The parts of the broker know each other in one direction.
func TestBroker_PartsKnowEachOtherInOneDirection(t *testing.T) {
	c := newChecker(t)
	line := goList(t, "-f", `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, "./broker")
	fields := strings.Fields(line)
	files := parseAll(t, c, fields[1], fields[2:])
	stray, err := c.strayUses(fields[0], files)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stray {
		t.Error(s)
	}
	for _, p := range brokerParts {
		if !slices.ContainsFunc(fields[2:], func(name string) bool { part, _ := partOf(name); return part == p.typeName }) {
			t.Errorf("no file is of %s: its rule guards nothing", p.typeName)
		}
	}
}

// The broker owns its parts and does little itself: what it does for callers and at its
// start and end.
func TestBroker_FewMethods(t *testing.T) {
	c := newChecker(t)
	fields := strings.Fields(goList(t, "-f", `{{.Dir}} {{join .GoFiles " "}}`, "./broker"))
	methods := 0
	for _, file := range parseAll(t, c, fields[0], fields[1:]) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && types.ExprString(f.Recv.List[0].Type) == "*Broker" {
				methods++
			}
		}
	}
	if methods == 0 || methods > 40 {
		t.Errorf("Broker has %d methods, and forty at most are meant to be: which part should have the others?", methods)
	}
}

// The rule above sees what it is for.
func TestBroker_PartsRuleBites(t *testing.T) {
	c := newChecker(t)
	f := func(name, text string, want int) {
		t.Helper()
		parse := func(name, text string) *ast.File {
			file, err := parser.ParseFile(c.fset, name, "package rule\n"+text, 0)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
		base := parse("table.go", "type table struct{ inner *ledger2 }; type ledger2 struct{}; func (t *table) get() int { return 0 }; func (t *table) getLocked() int { return 0 }")
		stray, err := c.strayUses("rule", []*ast.File{base, parse("directory.go", "type directory struct{ table *table }"), parse(name, text)})
		if err != nil || len(stray) != want {
			t.Errorf("%s: %s: %v, %v; want %d", name, text, stray, err, want)
		}
	}
	f("inbox.go", "func f(d *directory) int { return d.table.get() }", 0)
	f("directory_x.go", "func f(d *directory) int { return d.table.get() }", 0)
	f("table_x.go", "func f(d *directory) int { return d.table.get() }", 2)
	f("value.go", "func f(t interface{ get() int }) int { return t.get() }", 0)
	f("value.go", "func f(t *table) {}", 1)
	f("directory_x.go", "func f(d *directory) int { return d.table.getLocked() }", 1)
	f("table_x.go", "func f(t *table) int { return t.getLocked() }", 0)
}
