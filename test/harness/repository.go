package harness

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth.dev/berth/internal/release"
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
	e.withoutAdded()
	// These are written in place.
	for _, path := range []string{addedReleases, "build/.cache/lock", "build/.cache/logs"} {
		if err := os.RemoveAll(filepath.Join(to, path)); err != nil {
			e.T.Fatal(err)
		}
	}
	e.Build("build")
}

// withoutAdded takes the releases that were added out of the catalogue: a build goes on
// to make what the last one had.
func (e *Env) withoutAdded() {
	e.T.Helper()
	raw, err := os.ReadFile(filepath.Join(e.Root, addedReleases))
	if os.IsNotExist(err) {
		return
	}
	path := filepath.Join(e.Root, "build", "catalogue.json")
	catalogue, loadErr := release.Load(path)
	if err = errors.Join(err, loadErr); err != nil {
		e.T.Fatal(err)
	}
	added := strings.Fields(string(raw))
	catalogue.Releases = slices.DeleteFunc(catalogue.Releases, func(r release.Release) bool { return slices.Contains(added, r.Version) })
	if raw, err = json.Marshal(catalogue); err == nil {
		err = errors.Join(os.Remove(path), os.WriteFile(path, raw, 0o644)) // the file is a link to the build's own
	}
	if err != nil {
		e.T.Fatal(err)
	}
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
