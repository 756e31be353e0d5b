package harness

import (
	"os"
	"path/filepath"
	"slices"
)

// addedReleases is where a build remembers the versions that were added to it.
const addedReleases = "build/added-releases.txt"

// OwnRepository gives this Berth a copy of the repository with its build, below
// build/, so that a test can build more without a trace in what it was started from.
// What is built are hard links, since a build replaces files as a whole. The copy has
// the versions of every build alone; whatever else was built before counts, as it
// would in the repository itself. Call it before Up.
func (e *Env) OwnRepository() {
	e.T.Helper()
	from, to := e.Root, filepath.Join(e.Root, "build", "e2e")
	if err := os.RemoveAll(to); err != nil { // one that a killed test left
		e.T.Fatal(err)
	}
	e.own = to
	e.copyAll("-a", from, to, "build", ".git")
	e.copyAll("-al", filepath.Join(from, "build"), filepath.Join(to, "build"), "e2e")
	e.Root = to
	// These are written in place.
	for _, path := range []string{addedReleases, "build/.cache/lock", "build/.cache/logs"} {
		if err := os.RemoveAll(filepath.Join(to, path)); err != nil {
			e.T.Fatal(err)
		}
	}
	e.Build("build")
}

// copyAll makes a directory that has what another has, but for some names.
func (e *Env) copyAll(how, from, to string, except ...string) {
	e.T.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		e.T.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		e.T.Fatal(err)
	}
	args := []string{how, "-t", to, "--"}
	for _, entry := range entries {
		if !slices.Contains(except, entry.Name()) {
			args = append(args, filepath.Join(from, entry.Name()))
		}
	}
	e.Run("cp", args...)
}
