package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/internal/release"
)

// ErrNotBuilt says that nothing of a version of Kubernetes is in a repository's build.
var ErrNotBuilt = errors.New("nothing of it is built; \"berth release list\" shows what is")

// RemovableRelease says why a version of Kubernetes cannot be removed from a repository's
// build, whoever uses it.
func RemovableRelease(root, version string) error {
	if _, err := release.Parse(version); err != nil {
		return err // of anything else, paths and patterns would come
	}
	if at := slices.IndexFunc(knownVersions, func(k kubernetes) bool { return k.Version == version }); at >= 0 && !knownVersions[at].OnDemand {
		return fmt.Errorf("Kubernetes %s is part of every build and cannot be removed", version)
	}
	build := filepath.Join(root, "build")
	made, err := alsoMade(build)
	if err != nil {
		return err
	}
	left, err := leftOf(build, version, made)
	if err != nil {
		return err
	}
	if !slices.Contains(made, version) && len(left) == 0 {
		return fmt.Errorf("Kubernetes %s: %w", version, ErrNotBuilt)
	}
	return nil
}

// WithdrawRelease takes a version of Kubernetes out of the catalogue of a repository's last
// build, and has no later build make it. What was built stays until DiscardRelease.
func WithdrawRelease(root, version string) error {
	build := filepath.Join(root, "build")
	unlock, err := lock(filepath.Join(build, ".cache", "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	added, err := addedVersions(build)
	if err != nil {
		return err
	}
	if at := slices.Index(added, version); at >= 0 {
		lines := strings.Join(slices.Delete(added, at, at+1), "\n") + "\n"
		if err := writeFile(filepath.Join(build, addedFile), []byte(lines)); err != nil {
			return fmt.Errorf("forget release %s: %w", version, err)
		}
	}
	catalogue, err := builtCatalogue(build)
	if err != nil {
		return err
	}
	if _, has := catalogue.Release(version); !has {
		return nil
	}
	without(catalogue, version)
	catalogue.RecordBuild(time.Now(), keptBuilds)
	raw, err := json.MarshalIndent(catalogue, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(build, catalogueFile), append(raw, '\n')); err != nil {
		return fmt.Errorf("take release %s out of the catalogue: %w", version, err)
	}
	return nil
}

// without takes a version out of a catalogue.
func without(catalogue *release.Catalogue, version string) {
	catalogue.Releases = slices.DeleteFunc(catalogue.Releases, func(r release.Release) bool { return r.Version == version })
	for i := range catalogue.NodeImages {
		delete(catalogue.NodeImages[i].Images, version)
	}
	catalogue.NodeImages = slices.DeleteFunc(catalogue.NodeImages, func(n release.NodeImage) bool { return len(n.Images) == 0 })
}

// ReleaseImages are the references of what a version of Kubernetes alone is made of: an image,
// and a repository of images.
func ReleaseImages(version string) (image, repository string) {
	return Ref("kube", "v"+version), Repository + "/" + nodeSpec{Version: version}.name()
}

// DiscardRelease removes what was built for a version of Kubernetes that was withdrawn. Files
// that something else has too stay there: they are hard links.
func DiscardRelease(root, version string) error {
	build := filepath.Join(root, "build")
	unlock, err := lock(filepath.Join(build, ".cache", "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	made, err := alsoMade(build)
	if err != nil {
		return err
	}
	if slices.Contains(made, version) {
		return fmt.Errorf("Kubernetes %s was added again meanwhile; what was built for it stays", version)
	}
	left, err := leftOf(build, version, made)
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what was built for release %s: %w", version, err)
		}
	}
	return nil
}

// leftOf is what lies in a build directory of a version alone: not of the others that are
// made there.
func leftOf(build, version string, made []string) ([]string, error) {
	others := slices.DeleteFunc(slices.Clone(made), func(v string) bool { return v == version })
	shared := map[string]bool{}
	for _, step := range Plan(time.Now, others...) {
		shared[step.Name] = true
	}
	var paths []string
	for _, step := range Plan(time.Now, append(others, version)...) {
		if shared[step.Name] {
			continue
		}
		paths = append(paths, stampPath(build, step.Name), (&Builder{Build: build}).logPath(step))
		for _, output := range step.Outputs {
			paths = append(paths, filepath.Join(build, output))
		}
	}
	paths = append(paths, filepath.Join(build, "images", layoutName(Ref("kube", "v"+version))), filepath.Join(build, nodeSpec{Version: version}.rootfs()))
	nodes, err := filepath.Glob(filepath.Join(build, "images", nodeSpec{Version: version}.name()+"_*"))
	if err != nil {
		return nil, err
	}
	var left []string
	for _, path := range append(paths, nodes...) {
		_, err := os.Lstat(path)
		if err == nil {
			left = append(left, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look what was built for release %s: %w", version, err)
		}
	}
	return left, nil
}
