package release

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NodeImage is one build of the node image (F1): the same Debian, runtime and
// node agent for every Kubernetes version that the build had.
type NodeImage struct {
	// Version is BerthDebian-12containerd-YYYYMM.DD.N.
	Version string `json:"version"`
	// Built is when, RFC 3339 in UTC.
	Built string `json:"built"`
	// Images maps a Kubernetes version to the reference of its machine image.
	Images map[string]string `json:"images"`
	// Packages maps Debian's packages, and Components what was built from source,
	// to their versions.
	Packages   map[string]string `json:"packages,omitempty"`
	Components map[string]string `json:"components,omitempty"`
}

// Change is a part of a node image or a release that another one has in another
// version, or not at all: From or To is then empty.
type Change struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// ChangesSince lists what differs from an older image, by name (N1).
func (n NodeImage) ChangesSince(old NodeImage) []Change {
	return changes(old.parts(), n.parts())
}

// changes lists what differs between two sets of parts, by name.
func changes(before, after map[string]string) []Change {
	names := maps.Clone(before)
	maps.Copy(names, after)
	var all []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != after[name] {
			all = append(all, Change{Name: name, From: before[name], To: after[name]})
		}
	}
	return all
}

// parts are the components and packages of an image.
func (n NodeImage) parts() map[string]string {
	all := make(map[string]string, len(n.Packages)+len(n.Components))
	maps.Copy(all, n.Packages)
	maps.Copy(all, n.Components)
	return all
}

// NodeImage finds a node image by its version.
func (c *Catalogue) NodeImage(version string) (NodeImage, bool) {
	for _, image := range c.NodeImages {
		if image.Version == version {
			return image, true
		}
	}
	return NodeImage{}, false
}

// MachineImage is the reference of a node image for a Kubernetes version. False
// means that the catalogue does not have the two together.
func (c *Catalogue) MachineImage(kubernetes, nodeImage string) (string, bool) {
	image, ok := c.NodeImage(nodeImage)
	if !ok {
		return "", false
	}
	ref, ok := image.Images[kubernetes]
	return ref, ok
}

// HasNewestImage says whether the newest node image exists for a Kubernetes version. A
// catalogue that lists no images has one for each of its versions.
func (c *Catalogue) HasNewestImage(kubernetes string) bool {
	if len(c.NodeImages) == 0 {
		_, ok := c.Release(kubernetes)
		return ok
	}
	_, ok := c.MachineImage(kubernetes, c.NodeImageVersion)
	return ok
}

// CompareNodeImages orders two versions of the node image by day and number, as
// cmp.Compare does; one that cannot be parsed comes first.
func CompareNodeImages(a, b string) int {
	return slices.Compare(nodeImageOrder(a), nodeImageOrder(b))
}

// nodeImageOrder reads YYYYMM, DD and N from the end of a version.
func nodeImageOrder(version string) []int {
	parts := strings.Split(version[strings.LastIndex(version, "-")+1:], ".")
	order := make([]int, 0, len(parts))
	for _, part := range parts {
		number, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		order = append(order, number)
	}
	return order
}

// Record puts a node image first in the catalogue, in place of one of the same
// version, and keeps at most keep in all. A version that was built again with
// the same name keeps its day.
func (c *Catalogue) Record(image NodeImage, keep int) {
	if old, ok := c.NodeImage(image.Version); ok {
		image.Built = cmp.Or(old.Built, image.Built)
		for kubernetes, ref := range old.Images {
			if _, again := image.Images[kubernetes]; !again {
				image.Images[kubernetes] = ref
			}
		}
	}
	kept := []NodeImage{image}
	for _, one := range c.NodeImages {
		if one.Version != image.Version && len(kept) < keep {
			kept = append(kept, one)
		}
	}
	c.NodeImages, c.NodeImageVersion = kept, image.Version
}

// NodeImageDay is the day, in UTC, that a version of the node image carries. False
// means that it carries none.
func NodeImageDay(version string) (time.Time, bool) {
	order := nodeImageOrder(version)
	if len(order) < 2 {
		return time.Time{}, false
	}
	day := time.Date(order[0]/100, time.Month(order[0]%100), order[1], 0, 0, 0, 0, time.UTC)
	return day, order[0]/100 > 2000 && int(day.Month()) == order[0]%100 && day.Day() == order[1]
}
