package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"berth.dev/berth/internal/image"
	"berth.dev/berth/internal/release"
)

// Artifacts are the outputs of `berth build` that the machine is made of; see
// package image.
type Artifacts struct {
	// Dir is the build directory, absolute.
	Dir       string
	Catalogue *release.Catalogue
}

// FindArtifacts reads the build directory, or says what is missing from it.
func FindArtifacts(dir string) (Artifacts, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return Artifacts{}, fmt.Errorf("resolve build directory %s: %w", dir, err)
	}
	a := Artifacts{Dir: absolute}
	if a.Catalogue, err = release.Load(filepath.Join(absolute, "catalogue.json")); err != nil {
		return a, fmt.Errorf("%w\n%s is not complete; run \"make build\" first", err, absolute)
	}
	for _, path := range []string{filepath.Join(a.rootFS(), "usr/local/bin/berth-node"), a.baked(), a.images()} {
		if _, err := os.Stat(path); err != nil {
			return a, fmt.Errorf("%w\n%s is not complete; run \"make build\" first", err, absolute)
		}
	}
	if err := a.checkBaked(); err != nil {
		return a, fmt.Errorf("%w\n%s is not complete; run \"make build\" first", err, absolute)
	}
	return a, nil
}

// checkComponents refuses images that a version has of its own (Release.Images) and that are
// Berth's, but not in the build: the components of its clusters would never come up.
func (a Artifacts) checkComponents() error {
	for _, r := range a.Catalogue.Releases {
		for _, component := range slices.Sorted(maps.Keys(r.Images)) {
			if ref := r.Images[component]; strings.HasPrefix(ref, image.Repository+"/") && !image.Published(a.Dir, ref) {
				return fmt.Errorf("%s has the image %s for %s of version %s, which is not in %s: correct \"images\" of that version, or put the image's layout there, in a directory NAME_TAG",
					filepath.Join(a.Dir, "catalogue.json"), ref, component, r.Version, a.images())
			}
		}
	}
	return nil
}

// checkBaked refuses a build that was stopped between the catalogue and the
// images of the management machine, which has nowhere else to get them.
func (a Artifacts) checkBaked() error { return a.bakes("pause", "etcd", "berth", "berth-node") }

// bakes wants the default version's image among the baked ones, and those of components.
func (a Artifacts) bakes(components ...string) error {
	list := filepath.Join(a.baked(), "images.txt")
	raw, err := os.ReadFile(list)
	if err != nil {
		return fmt.Errorf("read baked images: %w", err)
	}
	baked := strings.Fields(string(raw))
	needed := []string{a.Catalogue.DefaultRelease().KubeImage}
	for _, component := range components {
		needed = append(needed, a.Catalogue.Images[component])
	}
	for _, ref := range needed {
		if !slices.Contains(baked, ref) {
			return fmt.Errorf("%s does not list image %q", list, ref)
		}
	}
	return nil
}

// DefaultBuildDir is the directory that the running program was built into,
// build/bin/berth, or else build below the working directory.
func DefaultBuildDir() string {
	if executable, err := os.Executable(); err == nil {
		dir := filepath.Dir(filepath.Dir(executable))
		if _, err := os.Stat(filepath.Join(dir, "catalogue.json")); err == nil {
			return dir
		}
	}
	return "build"
}

// Fingerprint changes whenever the machine would be made of something else. A
// release that is added changes nothing about it.
func (a Artifacts) Fingerprint() (string, error) {
	sum := sha256.New()
	own, err := json.Marshal([]any{a.Catalogue.DefaultRelease(), a.Catalogue.Images})
	if err != nil {
		return "", fmt.Errorf("read build: %w", err)
	}
	baked, err := os.ReadFile(filepath.Join(a.baked(), "id"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read build: %w", err)
	}
	for _, part := range [][]byte{own, baked} {
		sum.Write(part)
		sum.Write([]byte{0})
	}
	// A root file system is built beside its place and renamed: a new one is another directory.
	info, err := os.Stat(a.rootFS())
	if err != nil {
		return "", fmt.Errorf("read build: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		fmt.Fprintf(sum, "%s %d %d", a.rootFS(), stat.Ino, info.ModTime().UnixNano())
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// rootFS is the unpacked node image of the default version.
func (a Artifacts) rootFS() string {
	return filepath.Join(a.Dir, "rootfs", "v"+a.Catalogue.DefaultRelease().Version)
}

// baked holds the images that the management machine starts with.
func (a Artifacts) baked() string { return filepath.Join(a.Dir, "baked-management") }

// images holds the images that Berth's registry serves.
func (a Artifacts) images() string { return filepath.Join(a.Dir, "images") }

// binds show the machine the artifacts, read-only: their files may be linked
// to each other.
func (a Artifacts) binds() []bind {
	return []bind{{Source: a.baked(), Target: "/var/lib/berth/baked", ReadOnly: true}}
}

// registryInMachine is where the machine sees the registry's content.
const registryInMachine = "/var/lib/berth/registry"

// backupsInMachine is where it sees the backups of clusters.
const backupsInMachine = "/var/lib/berth/backups"
