package clause

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/support-policy.md")

// root is the repository's, from here.
const root = "../../.."

// The page is what the table says.
func TestPage(t *testing.T) {
	path := filepath.Join(root, "docs", "support-policy.md")
	if *update {
		if err := os.WriteFile(path, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != Page() {
		t.Error("docs/support-policy.md is stale: make generate")
	}
}

// Every clause of the policy is there, once and in order.
func TestEveryClauseIsThere(t *testing.T) {
	var want, have []string
	for _, letters := range []struct {
		letter string
		last   int
	}{
		{"A", 8}, {"B", 4}, {"C", 7}, {"D", 13}, {"E", 4}, {"F", 4}, {"G", 6}, {"H", 2}, {"I", 4}, {"J", 7},
		{"K", 1}, {"L", 3}, {"M", 3}, {"N", 2}, {"X", 8},
	} {
		for n := 1; n <= letters.last; n++ {
			want = append(want, fmt.Sprint(letters.letter, n))
		}
	}
	for _, part := range Parts() {
		for _, c := range part.Clauses {
			have = append(have, string(c.ID))
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("the clauses are\n%v, want\n%v", have, want)
	}
}

// What a clause names is there: code in the code, tests in tests. One that is held says
// by what and how that is known, and one that is not says nothing.
func TestWhatClausesNameIsThere(t *testing.T) {
	files := map[string][]string{}
	for _, part := range Parts() {
		for _, c := range part.Clauses {
			backed := len(c.Code) > 0 && len(c.Tests) > 0
			if (c.Status == Held || c.Status == InPart) != backed || len(c.Code)+len(c.Tests) > 0 && !backed {
				t.Errorf("%s is %s, with code %v and tests %v", c.ID, c.Status, c.Code, c.Tests)
			}
			if (c.Status == InPart) != (c.Missing != "") || c.Short == "" {
				t.Errorf("%s is %s, and lacks %q", c.ID, c.Status, c.Missing)
			}
			for _, ref := range slices.Concat(c.Code, c.Tests) {
				checkReference(t, c.ID, ref, files)
			}
			for _, ref := range c.Code {
				if strings.Contains(ref, "_test.go:") {
					t.Errorf("%s: %s is no code", c.ID, ref)
				}
			}
			for _, ref := range c.Tests {
				if !strings.Contains(ref, "_test.go:Test") {
					t.Errorf("%s: %s is no test", c.ID, ref)
				}
			}
		}
	}
}

func checkReference(t *testing.T, id ID, ref string, files map[string][]string) {
	t.Helper()
	path, symbol, _ := strings.Cut(ref, ":")
	names, ok := files[path]
	if !ok {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			return
		}
		names = declared(file)
		files[path] = names
	}
	if !slices.Contains(names, symbol) {
		t.Errorf("%s: there is no %s in %s", id, symbol, path)
	}
}

// declared are the names that a file declares, methods among them.
func declared(file *ast.File) []string {
	var names []string
	for _, one := range file.Decls {
		switch d := one.(type) {
		case *ast.FuncDecl:
			names = append(names, d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

func TestUnknownClause(t *testing.T) {
	if Known("J9") || !Known("J4") {
		t.Error("J4 is a clause and J9 is none")
	}
}
