package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// goProgram is one Go program to build.
type goProgram struct {
	// Module is the directory of its module, relative to the repository.
	Module string
	// Modfile is read in place of the module's go.mod, beside which it lies.
	Modfile string
	// Package is its main package, as go build takes it.
	Package string
	// Output is its place below build/.
	Output string
	// Tags and Variables are go build's -tags and the linker's -X.
	Tags, Variables string
	// Cgo says that it needs a C compiler.
	Cgo bool
}

// argv is the command that builds the program as output.
func (g goProgram) argv(output string) []string {
	flags := "-s -w"
	if g.Variables != "" {
		flags += " -X " + g.Variables
	}
	argv := g.choose([]string{"go", "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", flags})
	return append(argv, "-o", output, g.Package)
}

// choose adds to a go command what decides which files are read.
func (g goProgram) choose(argv []string) []string {
	if g.Modfile != "" {
		argv = append(argv, "-modfile", g.Modfile)
	}
	if g.Tags != "" {
		argv = append(argv, "-tags", g.Tags)
	}
	return argv
}

// env is the environment of go: what the user set that decides where modules
// come from and are kept, and nothing that changes what is built.
func (g goProgram) env() []string {
	cgo := "CGO_ENABLED=0"
	if g.Cgo {
		cgo = "CGO_ENABLED=1"
	}
	kept := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"GOFLAGS", "GOOS", "GOARCH", "GOWORK", "CGO_ENABLED", "GOEXPERIMENT", "GOTOOLCHAIN"}, name)
	})
	return append(kept, "GOWORK=off", "GOTOOLCHAIN=local", cgo)
}

// goStep builds Go programs, one after the other. inputs are their sources in
// this repository; those of modules are decided by go.sum.
func goStep(name, title string, programs []goProgram, inputs ...Input) Step {
	step := Step{Name: name, Title: title, Inputs: inputs}
	for _, p := range programs {
		step.Recipe = append(step.Recipe, fmt.Sprint(p.Module, p.argv(""), p.Cgo))
		step.Outputs = append(step.Outputs, p.Output)
	}
	step.Run = func(ctx context.Context, w *Work) error {
		for _, p := range programs {
			if err := p.build(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
	return step
}

// build runs go and counts the packages that it has compiled.
func (g goProgram) build(ctx context.Context, w *Work) error {
	dir := filepath.Join(w.Root, g.Module)
	name := filepath.Base(g.Output)
	w.Say(name + ": resolving modules")
	list := g.choose([]string{"go", "list", "-deps"})
	packages, err := program{Argv: append(list, g.Package), Dir: dir, Env: g.env()}.output(ctx)
	if err != nil {
		return err
	}
	total, built := strings.Count(packages, "\n"), 0
	w.Say(fmt.Sprintf("%s: %d packages", name, total))
	return w.run(ctx, program{
		Argv: g.argv(w.Output(g.Output)), Dir: dir, Env: g.env(),
		Line: func(string) {
			built++
			w.Say(fmt.Sprintf("%s: %d of %d packages", name, min(built, total), total))
		},
	})
}

// Packages is the input of the repository's own files that a Go package of its
// main module is built from, found with go list: a change elsewhere in the
// repository does not build it again.
func Packages(pattern string) Input {
	return func(ctx context.Context, root string) ([]string, error) {
		out, err := program{
			Argv: []string{"go", "list", "-deps", "-json=Dir,Standard,Module,GoFiles,EmbedFiles", pattern},
			Dir:  root, Env: goProgram{}.env(),
		}.output(ctx)
		if err != nil {
			return nil, err
		}
		found := []string{"go.mod", "go.sum"}
		decoder := json.NewDecoder(strings.NewReader(out))
		for {
			var p listedPackage
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				return found, nil
			} else if err != nil {
				return nil, fmt.Errorf("read go list: %w", err)
			}
			if p.Standard || p.Module == nil || !p.Module.Main {
				continue
			}
			for _, file := range slices.Concat(p.GoFiles, p.EmbedFiles) {
				relative, err := filepath.Rel(root, filepath.Join(p.Dir, file))
				if err != nil {
					return nil, err
				}
				found = append(found, relative)
			}
		}
	}
}

// listedPackage is the part of go list's answer that is read here.
type listedPackage struct {
	Dir                 string
	Standard            bool
	Module              *struct{ Main bool }
	GoFiles, EmbedFiles []string
}
