package testenv

import (
	"path/filepath"
	"sync"
	"testing"
)

// Program is the path of a program that the build has made. The test is skipped in
// ring 1, which needs nothing but Go, and fails elsewhere if the program is missing.
func Program(t testing.TB, name string) string {
	t.Helper()
	skipShort(t)
	path, err := Binary(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// RootFS is the newest root file system of a node that the build has made, as an absolute
// path. It skips and fails as Program does.
func RootFS(t testing.TB) string {
	t.Helper()
	skipShort(t)
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(root, "build", "rootfs", "v*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("build/rootfs has no root file system (make build): %v", err)
	}
	return found[len(found)-1]
}

func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs built programs, which ring 1 does without")
	}
}

// New starts a management cluster for one test, which ends it. It skips and fails
// as Program does.
func New(t testing.TB, options Options) *Env {
	t.Helper()
	skipShort(t)
	env, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Stop)
	return env
}

// Shared is a management cluster that the tests of a package have in common: the
// first that asks starts it, and the package's TestMain stops it.
type Shared struct {
	Options Options

	once sync.Once
	env  *Env
	err  error
}

// Env is the management cluster. It skips and fails as Program does.
func (s *Shared) Env(t testing.TB) *Env {
	t.Helper()
	skipShort(t)
	s.once.Do(func() { s.env, s.err = Start(s.Options) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.env
}

// Stop ends it if it was started.
func (s *Shared) Stop() {
	if s.env != nil {
		s.env.Stop()
	}
}
