package berth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "berth.dev/berth/"

// Ceilings of size; generated code is exempt.
const (
	maxFunctionLines = 80
	maxFileLines     = 500
	maxParameters    = 5 // beside a context
)

// leaves import nothing of ours but api, or what stands beside their name.
var leaves = []string{
	"internal/backup", "internal/etcd", "internal/gateway", "internal/identity", "internal/image", "internal/network", "internal/node",
	"internal/operation", "internal/pki", "internal/registry", "internal/release", "internal/tenant", "internal/volume", "internal/watch", "internal/webhook",
}

// imports is the layout of ARCHITECTURE.md: what a package (or any package below
// it) may import of ours. The longest matching prefix counts. A package that no
// line names fails the test.
var imports = map[string][]string{
	"api/v1beta1":              {},
	"api/crd":                  {"api"},
	"internal/policy":          {"api", "internal/release", "internal/policy"},
	"internal/addon":           {"api", "internal/network", "internal/policy", "internal/release"},
	"internal/admission":       {"api", "internal/policy", "internal/operation", "internal/release"},
	"internal/preflight":       {"api", "internal/controlplane", "internal/policy"},
	"internal/inspect":         {"api", "internal/policy"},
	"internal/activity":        {"api", "internal/operation"},
	"internal/supportaccess":   {"api", "internal/policy", "internal/controlplane", "internal/pki"},
	"internal/arm":             {"api", "internal/activity", "internal/pki", "internal/policy", "internal/operation", "internal/release", "internal/identity", "internal/controlplane", "internal/machine", "internal/supportaccess", "internal/tenant", "internal/webhook", "internal/arm"},
	"internal/controller":      append([]string{"api", "internal/activity", "internal/policy", "internal/controlplane", "internal/addon", "internal/machine", "internal/supportaccess", "internal/controller"}, leaves...),
	"internal/controlplane":    {"api", "internal/pki", "internal/release"},
	"internal/host":            {"api", "internal/backup", "internal/registry", "internal/install", "internal/image", "internal/network", "internal/node", "internal/operation", "internal/pki", "internal/release", "internal/volume", "internal/identity", "internal/host"},
	"internal/install":         {"api", "internal/identity", "internal/pki", "internal/release"},
	"internal/machine":         append([]string{"api", "internal/policy", "internal/machine"}, leaves...),
	"internal/serve":           {"api", "internal"},
	"internal/cli":             {"api", "internal/host", "internal/image", "internal/serve", "internal/release", "internal/cli"},
	"internal/testenv":         {"api"},
	"internal/volume":          {"api", "internal/watch"},
	"internal/network":         {"api", "internal/network", "internal/watch"},
	"internal/watch":           {},
	"internal/webhook":         {},
	"internal/backup":          {},
	"internal/etcd":            {},
	"internal/node":            {"api", "internal/node"},
	"internal/gateway":         {"api", "internal/policy"},
	"internal/image":           {"api", "internal/release"},
	"internal/identity":        {"api"},
	"internal/operation":       {"api"},
	"internal/pki":             {"api"},
	"internal/registry":        {"api"},
	"internal/release":         {"api"},
	"internal/tenant":          {"api"},
	"internal/controller/test": {"api", "internal"},
	"cmd/berth":                {"internal/cli"},
	"cmd/berth-node":           {"internal/node", "internal/network", "internal/volume"},
	"cmd/berth-demo":           {},
	"test":                     {"api", "internal", "test"},
}

// foreignNames are package names that say nothing.
var foreignNames = []string{"util", "utils", "common", "helper", "helpers", "shared", "misc", "types", "base"}

type source struct {
	path      string
	test      bool
	generated bool
	file      *ast.File
	lines     int
}

func TestArchitecture(t *testing.T) {
	fset := token.NewFileSet()
	documented := map[string]bool{}
	for _, s := range sources(t, fset) {
		dir := filepath.ToSlash(filepath.Dir(s.path))
		if slices.Contains(foreignNames, s.file.Name.Name) {
			t.Errorf("%s: package %s is not named for what it provides", s.path, s.file.Name.Name)
		}
		if !s.test {
			documented[dir] = documented[dir] || s.file.Doc != nil
			checkImports(t, s, dir)
			checkExportedDocs(t, fset, s)
		}
		if !s.generated {
			checkSizes(t, fset, s)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// sources parses every Go file of the root module.
func sources(t *testing.T, fset *token.FileSet) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", "build", "kube", "components", "tools", "testdata"}, path) || entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || filepath.Dir(path) == "." {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{
			path: path, test: strings.HasSuffix(path, "_test.go"), file: file,
			generated: ast.IsGenerated(file) || strings.HasPrefix(filepath.Base(path), "zz_generated"),
			lines:     fset.File(file.Pos()).LineCount(),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checkImports(t *testing.T, s source, dir string) {
	t.Helper()
	allowed, rule := []string(nil), ""
	for prefix, list := range imports {
		if within(dir, prefix) && len(prefix) >= len(rule) {
			allowed, rule = list, prefix
		}
	}
	if rule == "" {
		t.Errorf("%s: no rule in arch_test.go says what it may import", dir)
		return
	}
	for _, spec := range s.file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		if !strings.HasPrefix(path, module) {
			continue
		}
		ours := strings.TrimPrefix(path, module)
		if within(ours, dir) || slices.ContainsFunc(allowed, func(prefix string) bool { return within(ours, prefix) }) {
			continue
		}
		t.Errorf("%s imports %s, which %s may not", s.path, ours, rule)
	}
}

func within(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func checkSizes(t *testing.T, fset *token.FileSet, s source) {
	t.Helper()
	if s.lines > maxFileLines {
		t.Errorf("%s has %d lines, at most %d", s.path, s.lines, maxFileLines)
	}
	for _, decl := range s.file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; n > maxFunctionLines && !s.test {
			t.Errorf("%s: %s has %d lines, at most %d", s.path, f.Name.Name, n, maxFunctionLines)
		}
		if n := parameters(f); n > maxParameters && !s.test {
			t.Errorf("%s: %s has %d parameters, at most %d", s.path, f.Name.Name, n, maxParameters)
		}
		if f.Name.Name == "init" && f.Recv == nil {
			t.Errorf("%s has an init function", s.path)
		}
	}
}

// parameters counts a function's parameters, without a leading context.
func parameters(f *ast.FuncDecl) int {
	n := f.Type.Params.NumFields()
	if n == 0 {
		return 0
	}
	if first, ok := f.Type.Params.List[0].Type.(*ast.SelectorExpr); ok && first.Sel.Name == "Context" {
		n--
	}
	return n
}

func checkExportedDocs(t *testing.T, fset *token.FileSet, s source) {
	t.Helper()
	missing := func(pos token.Pos, name string) { t.Errorf("%s: %s has no comment", fset.Position(pos), name) }
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverExported(d)) && d.Name.Name != "Error" {
				missing(d.Pos(), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if typed, ok := spec.(*ast.TypeSpec); ok && typed.Name.IsExported() && d.Doc == nil && typed.Doc == nil {
					missing(typed.Pos(), typed.Name.Name)
				}
			}
		}
	}
}

func receiverExported(f *ast.FuncDecl) bool {
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	name, ok := receiver.(*ast.Ident)
	return ok && name.IsExported()
}
