package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checker type-checks packages against the export data of what they import.
type checker struct {
	fset     *token.FileSet
	importer types.Importer
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	exports := map[string]string{}
	for line := range strings.Lines(goList(t, "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./...")) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	c := &checker{fset: token.NewFileSet()}
	c.importer = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// parseAll reads files of a directory.
func parseAll(t *testing.T, c *checker, dir string, names []string) []*ast.File {
	t.Helper()
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(c.fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return string(out)
}

// strayLocks returns where a package uses the lock of a type neither in a method of that
// type nor in a function that returns it.
func (c *checker) strayLocks(path string, files []*ast.File) ([]string, error) {
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Defs: map[*ast.Ident]types.Object{}}
	if _, err := (&types.Config{Importer: c.importer}).Check(path, c.fset, files, info); err != nil {
		return nil, err
	}
	var stray []string
	for _, file := range files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if owner := lockOwner(info.Selections[sel]); owner != nil && !belongsTo(info.Defs[f.Name], owner) {
					stray = append(stray, fmt.Sprintf("%s: %s uses the lock of %s", c.fset.Position(sel.Pos()), f.Name.Name, owner))
				}
				return true
			})
		}
	}
	return stray, nil
}

// lockOwner returns the type whose lock s selects, as a field or, if it is embedded, by a
// method; else nil.
func lockOwner(s *types.Selection) types.Type {
	if s == nil {
		return nil
	}
	embedded := s.Kind() == types.MethodVal && len(s.Index()) > 1 && s.Obj().Pkg().Path() == "sync"
	if s.Kind() == types.FieldVal && isLock(s.Type()) || embedded {
		return pointee(s.Recv())
	}
	return nil
}

func isLock(t types.Type) bool {
	name := types.TypeString(pointee(t), nil)
	return name == "sync.Mutex" || name == "sync.RWMutex"
}

func pointee(t types.Type) types.Type {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// belongsTo reports whether f is a method of owner or returns one.
func belongsTo(f types.Object, owner types.Type) bool {
	s := f.Type().(*types.Signature)
	if s.Recv() != nil && types.Identical(pointee(s.Recv().Type()), owner) {
		return true
	}
	for v := range s.Results().Variables() {
		if types.Identical(pointee(v.Type()), owner) {
			return true
		}
	}
	return false
}

// A lock belongs to a type: only its methods, and the functions that make it, use it.
func TestLocks_BelongToTheirTypes(t *testing.T) {
	c := newChecker(t)
	for line := range strings.Lines(goList(t, "-f", `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, "./...")) {
		fields := strings.Fields(line)
		path, dir, names := fields[0], fields[1], fields[2:]
		stray, err := c.strayLocks(path, parseAll(t, c, dir, names))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stray {
			t.Error(s)
		}
	}
}

// The rule above sees what it is for.
func TestLocks_RuleBites(t *testing.T) {
	c := newChecker(t)
	f := func(text string, want int) {
		t.Helper()
		file, err := parser.ParseFile(c.fset, "rule.go", `package rule
import "sync"
type owner struct { mu sync.RWMutex; n int }
type embeds struct { sync.Mutex }
type outer struct { owner *owner; embeds }
`+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		stray, err := c.strayLocks("rule", []*ast.File{file})
		if err != nil || len(stray) != want {
			t.Errorf("%s: %d uses of somebody else's lock, %v; want %d", text, len(stray), err, want)
		}
	}
	f("func (o *owner) add() { o.mu.Lock(); defer o.mu.Unlock(); o.n++ }", 0)
	f("func newOwner() *owner { o := &owner{}; o.mu.Lock(); return o }", 0)
	f("func (e *embeds) take() { e.Lock() }", 0)
	f("func (o *outer) add() { o.owner.mu.Lock() }", 1)
	f("func read(o *owner) { o.mu.RLock(); defer o.mu.RUnlock() }", 2)
	f("func (o *owner) other(e *embeds) { func() { e.Lock() }() }", 1)
	f("func (o *outer) promoted() { o.embeds.Lock() }", 1)
	f("func lend(o *owner) *sync.RWMutex { return &o.mu }", 1)
}
