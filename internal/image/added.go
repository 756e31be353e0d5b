package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth.dev/berth/internal/release"
)

// addedFile lists the versions that were added, one a line: they are built from then
// on together with those of every build, as is what an earlier build had.
const addedFile = "added-releases.txt"

// alsoMade are the versions that a build makes beside those of every build: those that
// were added, and those that the last build had, since clusters may run them (F4).
func alsoMade(build string) ([]string, error) {
	added, err := addedVersions(build)
	if err != nil {
		return nil, err
	}
	before, err := builtCatalogue(build)
	if err != nil {
		return nil, err
	}
	for _, r := range before.Releases {
		added = append(added, r.Version)
	}
	return added, nil
}

// addedVersions reads which versions were added to a build directory.
func addedVersions(build string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(build, addedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read added releases: %w", err)
	}
	return strings.Fields(string(raw)), nil
}

// AddRelease builds a version of Kubernetes that is not part of every build, and all
// that is needed for it, into build/ of the repository. What it was asked for is
// remembered first: a build that was interrupted goes on with `berth build`. An error
// names the versions that there are.
func AddRelease(ctx context.Context, version string, o Options) error {
	at := slices.IndexFunc(knownVersions, func(k kubernetes) bool { return k.Version == version })
	if at < 0 {
		return fmt.Errorf("this Berth cannot build Kubernetes %s; it can build %s", version, strings.Join(Buildable(), ", "))
	}
	build := filepath.Join(o.Root, "build")
	added, err := addedVersions(build)
	if err != nil {
		return err
	}
	if knownVersions[at].OnDemand && !slices.Contains(added, version) {
		if err := os.MkdirAll(build, 0o755); err != nil {
			return fmt.Errorf("make build directory: %w", err)
		}
		lines := strings.Join(append(added, version), "\n") + "\n"
		if err := writeFile(filepath.Join(build, addedFile), []byte(lines)); err != nil {
			return fmt.Errorf("remember release %s: %w", version, err)
		}
	}
	return Build(ctx, o)
}

// Buildable are the versions of Kubernetes that can be built, newest first.
func Buildable() []string {
	var buildable []string
	for _, k := range knownVersions {
		buildable = append(buildable, k.Version)
	}
	return buildable
}

// BuiltCatalogue is the catalogue of the last build in a repository, without releases
// if there was none.
func BuiltCatalogue(root string) (*release.Catalogue, error) {
	return builtCatalogue(filepath.Join(root, "build"))
}
