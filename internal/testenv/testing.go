package testenv

import (
	"sync"
	"testing"
)

// Require skips the test in ring 1, which needs nothing but Go, and fails it
// elsewhere if one of the programs is missing.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs built programs, which ring 1 does without")
	}
	for _, name := range programs {
		if _, err := Binary(name); err != nil {
			t.Fatal(err)
		}
	}
}

// New starts a management cluster for one test, which ends it.
func New(t testing.TB, options Options) *Env {
	t.Helper()
	Require(t, Etcd, Kube)
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

// Env is the management cluster.
func (s *Shared) Env(t testing.TB) *Env {
	t.Helper()
	Require(t, Etcd, Kube)
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
