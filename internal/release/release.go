// Package release is the release catalogue: which Kubernetes versions and node
// images this Berth can run, and the images they are made of. `berth build`
// writes it, `berth serve` reads it.
package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Release is one Kubernetes version.
type Release struct {
	// Version without a v, such as 1.37.2.
	Version string `json:"version"`
	// State overrides what follows from the dates; it is empty but for that.
	State State `json:"state,omitempty"`
	// Default marks the version that Berth's own management machine runs. It does
	// not move with time, unlike that of new clusters (DefaultAt).
	Default bool `json:"default,omitempty"`
	// Life is that of its minor.
	Life
	// Removed is the day, YYYY-MM-DD, on which the patch is withdrawn: from then on
	// it makes no new clusters and pools (F4).
	Removed string `json:"removed,omitempty"`
	// KubeImage is the multi-call image and NodeImage the machine image.
	KubeImage string `json:"kubeImage"`
	NodeImage string `json:"nodeImage"`
	// Images are components (ClusterComponents) that clusters of this version have
	// instead of the catalogue's. Empty for most: they work with every version.
	Images map[string]string `json:"images,omitempty"`
}

// Minor is the version's minor, such as 1.37.
func (r Release) Minor() string { return Minor(r.Version) }

// Catalogue is everything that this Berth can run.
type Catalogue struct {
	Releases []Release `json:"releases"`
	// NodeImageVersion is the newest node image, BerthDebian-12containerd-YYYYMM.DD.N.
	NodeImageVersion string `json:"nodeImageVersion"`
	// NodeImages are the builds that machines can still be made of, newest first.
	NodeImages []NodeImage `json:"nodeImages,omitempty"`
	// Images maps a component (etcd, etcd-snapshot, coredns, konnectivity-server,
	// konnectivity-agent, metrics-server, berth, berth-node, pause, demo) to its image.
	Images map[string]string `json:"images"`
	// Builds is the history of what was built, newest first (N1).
	Builds []Build `json:"builds,omitempty"`
}

// Load reads a catalogue and checks it.
func Load(path string) (*Catalogue, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read release catalogue: %w", err)
	}
	var catalogue Catalogue
	if err := json.Unmarshal(raw, &catalogue); err != nil {
		return nil, fmt.Errorf("parse release catalogue %s: %w", path, err)
	}
	if err := catalogue.check(); err != nil {
		return nil, fmt.Errorf("release catalogue %s: %w", path, err)
	}
	return &catalogue, nil
}

func (c *Catalogue) check() error {
	defaults := 0
	for _, r := range c.Releases {
		if _, err := Parse(r.Version); err != nil {
			return err
		}
		if err := errors.Join(r.Life.check(), Life{Released: r.Removed}.check()); err != nil {
			return fmt.Errorf("version %s: %w", r.Version, err)
		}
		for name, image := range r.Images {
			if !slices.Contains(ClusterComponents(), name) || image == "" {
				return fmt.Errorf("version %s: images: %q: want an image of %s", r.Version, name, strings.Join(ClusterComponents(), ", "))
			}
		}
		if r.Default {
			defaults++
		}
	}
	if defaults != 1 {
		return fmt.Errorf("%d default versions, want exactly one", defaults)
	}
	return nil
}

// ClusterComponents are the names in Images of what runs in managed clusters and comes in waves.
// kube-proxy is not among them: it comes with the cluster's version, which its owner upgrades.
func ClusterComponents() []string {
	return []string{"berth-node", "coredns", "konnectivity-agent", "metrics-server"}
}

// ImagesIn are images with those in their places that the version has of its own.
func (c *Catalogue) ImagesIn(version string, images map[string]string) map[string]string {
	r, _ := c.Release(version)
	if len(r.Images) == 0 {
		return images
	}
	all := maps.Clone(images)
	for name, image := range r.Images {
		if all[name] != "" {
			all[name] = image
		}
	}
	return all
}

// Release finds a version by its exact name.
func (c *Catalogue) Release(version string) (Release, bool) {
	for _, r := range c.Releases {
		if r.Version == version {
			return r, true
		}
	}
	return Release{}, false
}

// Unknown says that a version which runs is in no catalogue of this Berth, such as one that was
// built in another directory, and what its operator does about it.
func Unknown(version string) error {
	return fmt.Errorf("this Berth does not have Kubernetes %s; its operator adds it with `berth release add %s`", version, version)
}

// DefaultRelease is the version of the management machine.
func (c *Catalogue) DefaultRelease() Release {
	for _, r := range c.Releases {
		if r.Default {
			return r
		}
	}
	return Release{}
}

// Resolve finds what a version means whatever the time: "1.36" is the newest patch
// of that minor, "1.36.3" itself, "" the management machine's. An alias leaves out
// patches that are withdrawn or about to be.
func (c *Catalogue) Resolve(asked string) (Release, bool) {
	if asked == "" {
		return c.DefaultRelease(), true
	}
	if r, ok := c.Release(asked); ok {
		return r, true
	}
	return c.LatestPatch(asked)
}

// LatestPatch finds the newest patch of a minor that is not withdrawn.
func (c *Catalogue) LatestPatch(minor string) (Release, bool) {
	for _, r := range c.Sorted() {
		if r.Minor() == minor && r.State != Retired && r.Removed == "" {
			return r, true
		}
	}
	return Release{}, false
}

// Sorted returns the releases, newest first.
func (c *Catalogue) Sorted() []Release {
	sorted := slices.Clone(c.Releases)
	slices.SortFunc(sorted, func(a, b Release) int { return Compare(b.Version, a.Version) })
	return sorted
}

// Parse splits a version into major, minor and patch.
func Parse(version string) ([3]int, error) {
	var out [3]int
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return out, fmt.Errorf("version %q: want major.minor.patch", version)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return out, fmt.Errorf("version %q: %q is not a number", version, part)
		}
		out[i] = int(n)
	}
	return out, nil
}

// Compare orders two versions; a version that cannot be parsed comes first.
func Compare(a, b string) int {
	left, _ := Parse(a)
	right, _ := Parse(b)
	return slices.Compare(left[:], right[:])
}

// Minor is the "1.37" of "1.37.2".
func Minor(version string) string {
	if i := strings.LastIndex(version, "."); i > 0 && strings.Count(version, ".") == 2 {
		return version[:i]
	}
	return version
}
