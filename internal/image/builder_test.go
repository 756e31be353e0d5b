package image

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bench is a repository with one source file and a builder of it.
type bench struct {
	t       *testing.T
	builder *Builder
	ran     []string
}

func newBench(t *testing.T, steps func(*bench) []Step) *bench {
	root := t.TempDir()
	b := &bench{t: t}
	b.builder = &Builder{
		Root: root, Build: filepath.Join(root, "build"), Steps: steps(b),
		progress: newProgress(io.Discard, false),
	}
	b.source("one")
	return b
}

func (b *bench) source(content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.builder.Root, "source.go"), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// run builds and returns the names of the steps that ran.
func (b *bench) run() ([]string, error) {
	b.ran = nil
	err := b.builder.Run(context.Background())
	return b.ran, err
}

// step writes what make returns to one output.
func (b *bench) step(name string, needs []string, inputs []Input, make func(w *Work) (string, error)) Step {
	output := "out/" + name
	return Step{
		Name: name, Title: name, Needs: needs, Inputs: inputs, Outputs: []string{output},
		Run: func(_ context.Context, w *Work) error {
			b.ran = append(b.ran, name)
			content, err := make(w)
			return errors.Join(os.WriteFile(w.Output(output), []byte(content), 0o644), err)
		},
	}
}

func (b *bench) output(name string) string {
	raw, err := os.ReadFile(filepath.Join(b.builder.Build, "out", name))
	if err != nil {
		return ""
	}
	return string(raw)
}

// chain is compile (reads the source, ignores its comments) and pack (reads compile's output).
func chain(b *bench) []Step {
	return []Step{
		b.step("compile", nil, []Input{Sources(".")}, func(w *Work) (string, error) {
			raw, err := os.ReadFile(filepath.Join(w.Root, "source.go"))
			code, _, _ := strings.Cut(string(raw), "//")
			return code, err
		}),
		b.step("pack", []string{"compile"}, nil, func(w *Work) (string, error) {
			raw, err := os.ReadFile(w.Built("out/compile"))
			return "packed " + string(raw), err
		}),
	}
}

func TestBuildsOnlyWhatChanged(t *testing.T) {
	b := newBench(t, chain)
	for _, c := range []struct {
		why    string
		change func()
		want   []string
	}{
		{"everything at first", func() {}, []string{"compile", "pack"}},
		{"nothing the second time", func() {}, nil},
		{"a changed source goes through", func() { b.source("two") }, []string{"compile", "pack"}},
		{"a change that makes the same output ends there", func() { b.source("two// comment") }, []string{"compile"}},
		{"a file that is no source", func() { write(t, filepath.Join(b.builder.Root, "notes.txt"), "x") }, nil},
		{"a test is no source", func() { write(t, filepath.Join(b.builder.Root, "source_test.go"), "x") }, nil},
		{"a new source", func() { write(t, filepath.Join(b.builder.Root, "more.go"), "x") }, []string{"compile"}},
		{"a removed output", func() { os.Remove(filepath.Join(b.builder.Build, "out/compile")) }, []string{"compile"}},
		{"an output that somebody replaced", func() { write(t, filepath.Join(b.builder.Build, "out/pack"), "other") }, []string{"pack"}},
		{"asked for again", func() { b.builder.Again = []string{"pack"} }, []string{"pack"}},
	} {
		c.change()
		ran, err := b.run()
		if err != nil || !slices.Equal(ran, c.want) {
			t.Fatalf("%s: ran %v, %v; want %v", c.why, ran, err, c.want)
		}
	}
	if got := b.output("pack"); got != "packed two" {
		t.Errorf("packed %q", got)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// A new file, so that its time differs even on a coarse clock.
	os.Remove(path)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestInterruptedStepDoesNotCount: an output that was begun is neither seen nor taken for done.
func TestInterruptedStepDoesNotCount(t *testing.T) {
	broken := true
	b := newBench(t, func(b *bench) []Step {
		return []Step{b.step("compile", nil, []Input{Sources(".")}, func(*Work) (string, error) {
			if broken {
				return "half", errors.New("interrupted")
			}
			return "whole", nil
		})}
	})
	if _, err := b.run(); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Fatalf("err = %v", err)
	}
	if got := b.output("compile"); got != "" {
		t.Errorf("a failed step left output %q", got)
	}
	broken = false
	// What a killed build leaves in its temporary directory goes away too.
	leftover := filepath.Join(b.builder.temporary(), "compile", "outputs", "out", "compile")
	write(t, leftover, "half")
	if ran, err := b.run(); err != nil || len(ran) != 1 || b.output("compile") != "whole" {
		t.Errorf("after the repair: ran %v, %v, output %q", ran, err, b.output("compile"))
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Error("the temporary directory of the killed build is still there")
	}
	// A step that fails on a rebuild keeps its old output but loses its stamp.
	broken = true
	b.source("changed")
	if _, err := b.run(); err == nil || b.output("compile") != "whole" {
		t.Errorf("err = %v, output %q", err, b.output("compile"))
	}
	b.source("one")
	broken = false
	if ran, _ := b.run(); len(ran) != 1 {
		t.Error("a step that failed since counts as done")
	}
}

func TestStepThatForgetsAnOutputFails(t *testing.T) {
	b := newBench(t, func(*bench) []Step {
		return []Step{{Name: "lazy", Title: "lazy", Outputs: []string{"out/lazy"}, Run: func(context.Context, *Work) error { return nil }}}
	})
	if _, err := b.run(); err == nil || !strings.Contains(err.Error(), "out/lazy") {
		t.Errorf("err = %v, want one that names the output", err)
	}
}

func TestOneBuildAtATime(t *testing.T) {
	b := newBench(t, chain)
	unlock, err := lock(filepath.Join(b.builder.Build, ".cache", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(); err == nil || !strings.Contains(err.Error(), "another build is running") {
		t.Errorf("err = %v", err)
	}
	unlock()
	if _, err := b.run(); err != nil {
		t.Errorf("after the other ended: %v", err)
	}
}

func TestKeyHasEverythingInIt(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a.go"), "a")
	base := func() Step {
		return Step{Name: "s", Recipe: []string{"r"}, Needs: []string{"n"}, Outputs: []string{"o"}, Inputs: []Input{Files("a.go")}}
	}
	digests := map[string]string{"n": "1", "m": "1"}
	key := func(s Step, digests map[string]string) string {
		sum, err := s.key(context.Background(), root, digests)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	want := key(base(), digests)
	if again := key(base(), digests); again != want {
		t.Fatal("the same step has two keys")
	}
	for why, change := range map[string]func(*Step){
		"a flag":                   func(s *Step) { s.Recipe = []string{"r2"} },
		"a flag more":              func(s *Step) { s.Recipe = append(s.Recipe, "r") },
		"two flags joined as one":  func(s *Step) { s.Recipe = []string{"r\nrecipe"} },
		"another need":             func(s *Step) { s.Needs = []string{"m"} },
		"an output":                func(s *Step) { s.Outputs = []string{"o", "p"} },
		"no input":                 func(s *Step) { s.Inputs = nil },
		"another name of the step": func(s *Step) { s.Name = "t" },
	} {
		s := base()
		change(&s)
		if key(s, digests) == want {
			t.Errorf("%s does not change the key", why)
		}
	}
	if key(base(), map[string]string{"n": "2"}) == want {
		t.Error("what another step made does not change the key")
	}
	if _, err := base().key(context.Background(), root, nil); err == nil {
		t.Error("a step without what it needs has a key")
	}
}

func TestSelect(t *testing.T) {
	steps := []Step{
		{Name: "kube-1.37"}, {Name: "kube-1.36"}, {Name: "kubelet"},
		{Name: "image-kube", Needs: []string{"kube-1.37"}}, {Name: "node", Needs: []string{"image-kube"}},
	}
	for _, c := range []struct {
		why   string
		names []string
		want  []string
	}{
		{"all", nil, []string{"kube-1.37", "kube-1.36", "kubelet", "image-kube", "node"}},
		{"one", []string{"kube-1.36"}, []string{"kube-1.36"}},
		{"a family, but not a name that only looks alike", []string{"kube"}, []string{"kube-1.37", "kube-1.36"}},
		{"what it needs comes first", []string{"node"}, []string{"kube-1.37", "image-kube", "node"}},
	} {
		selected, err := Select(steps, c.names)
		if got := stepNames(selected); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: Select(%v) = %v, %v; want %v", c.why, c.names, got, err, c.want)
		}
	}
	if _, err := Select(steps, []string{"nodes"}); err == nil || !strings.Contains(err.Error(), "image-kube") {
		t.Errorf("an unknown step: err = %v, want one that lists the steps", err)
	}
}

// TestReplacedDirectoryStaysWhileUsed: a running machine may stand on the old one.
func TestReplacedDirectoryStaysWhileUsed(t *testing.T) {
	build := filepath.Join(t.TempDir(), "repo", "build")
	proc := t.TempDir()
	b := &Builder{Build: build}
	if err := sweep(build, proc); err != nil {
		t.Fatal(err)
	}
	replaceOnce := func() {
		write(t, filepath.Join(build, "new", "file"), "x")
		if err := b.replace(filepath.Join(build, "new"), filepath.Join(build, "rootfs")); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func() int {
		entries, _ := os.ReadDir(oldDir(build))
		return len(entries)
	}
	replaceOnce()
	replaceOnce()
	if waiting() != 1 {
		t.Fatalf("%d directories wait, want the one that was replaced", waiting())
	}
	write(t, filepath.Join(proc, "7", "mountinfo"), "30 1 8:1 /srv/repo/build/rootfs /mnt rw - ext4 /dev/sda rw\n")
	if err := os.MkdirAll(filepath.Join(proc, "7", "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mnt:[1]", filepath.Join(proc, "7", "ns", "mnt")); err != nil {
		t.Fatal(err)
	}
	if err := sweep(build, proc); err != nil || waiting() != 1 {
		t.Errorf("while a machine runs: %v, %d wait", err, waiting())
	}
	write(t, filepath.Join(proc, "7", "mountinfo"), "30 1 8:1 / / rw - ext4 /dev/sda rw\n")
	if err := sweep(build, proc); err != nil || waiting() != 0 {
		t.Errorf("when no machine runs: %v, %d wait", err, waiting())
	}
}

func TestHashesOfLargeFilesAreRemembered(t *testing.T) {
	dir := t.TempDir()
	large, cache := filepath.Join(dir, "tree", "large"), filepath.Join(dir, "hashes.json")
	write(t, large, strings.Repeat("a", rememberedBytes))
	sums := loadHashes(cache)
	first, err := sums.tree(filepath.Join(dir, "tree"))
	if err != nil || len(sums.sums) != 1 || sums.save() != nil {
		t.Fatalf("%d remembered, %v", len(sums.sums), err)
	}
	// Only a planted wrong sum shows that the file was not read again.
	for key := range sums.sums {
		sums.sums[key] = "planted"
	}
	if err := sums.save(); err != nil {
		t.Fatal(err)
	}
	if second, _ := loadHashes(cache).tree(filepath.Join(dir, "tree")); second == first {
		t.Error("the file was read again")
	}
	write(t, large, strings.Repeat("b", rememberedBytes))
	if third, _ := loadHashes(cache).tree(filepath.Join(dir, "tree")); third == first {
		t.Error("a replaced file has the hash of the old one")
	}
	write(t, cache, "{")
	if again := loadHashes(cache); again.sums == nil {
		t.Error("a broken cache is worse than none")
	}
}

func TestListingTellsTreesApart(t *testing.T) {
	one, two := sampleTree(t), sampleTree(t)
	sum := func(tree string) string {
		s, err := listing(tree)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if sum(one) != sum(two) {
		t.Error("equal trees have two listings")
	}
	write(t, filepath.Join(two, "etc/empty"), "x")
	if sum(one) == sum(two) {
		t.Error("another size is the same listing")
	}
	// Where listings are equal the content decides.
	write(t, filepath.Join(one, "etc/empty"), "y")
	unpacked := filepath.Join(t.TempDir(), "fs")
	if err := linkTree(one, unpacked); err != nil {
		t.Fatal(err)
	}
	got, err := origin(unpacked, map[string][]string{sum(one): {two, one}}, loadHashes(""))
	if err != nil || got != one {
		t.Errorf("origin is %s, %v; want %s", got, err, one)
	}
	if _, err := origin(unpacked, nil, loadHashes("")); err == nil {
		t.Error("a snapshot of nothing has an origin")
	}
}
