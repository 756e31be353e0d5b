package release

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Build is one release of Berth: what it brought to the service.
type Build struct {
	// Version is Berth's own, and Built when it was first built, RFC 3339 in UTC.
	Version string `json:"version"`
	Built   string `json:"built"`
	// Kubernetes are its versions, newest first, and NodeImage its newest node image.
	Kubernetes []string `json:"kubernetes"`
	NodeImage  string   `json:"nodeImage"`
	// Components maps the managed components to the tags of their images.
	Components map[string]string `json:"components"`
}

// current is what the catalogue has now, as a build.
func (c *Catalogue) current(built string) Build {
	b := Build{Built: built, NodeImage: c.NodeImageVersion, Components: map[string]string{}}
	for name, reference := range c.Images {
		if name != "demo" { // the demo is an application
			b.Components[name] = tagOf(reference)
		}
	}
	b.Version = b.Components["berth"]
	for _, r := range c.Sorted() {
		b.Kubernetes = append(b.Kubernetes, r.Version)
	}
	return b
}

// tagOf is the tag of an image's reference, empty if it has none.
func tagOf(reference string) string {
	reference, _, _ = strings.Cut(reference, "@")
	if i := strings.LastIndex(reference, ":"); i > strings.LastIndex(reference, "/") {
		return reference[i+1:]
	}
	return ""
}

// RecordBuild puts what the catalogue has now first in its history, unless that is what
// the last build had, and keeps at most keep in all (N1).
func (c *Catalogue) RecordBuild(now time.Time, keep int) {
	next := c.current(now.UTC().Format(time.RFC3339))
	if len(c.Builds) > 0 {
		last := &c.Builds[0]
		if last.NodeImage == next.NodeImage && slices.Equal(last.Kubernetes, next.Kubernetes) && maps.Equal(last.Components, next.Components) {
			return
		}
		if last.Version == next.Version {
			// The same Berth was built again with other parts: its notes are of all it has.
			next.Built = last.Built
			c.Builds = c.Builds[1:]
		}
	}
	c.Builds = append([]Build{next}, c.Builds[:min(len(c.Builds), keep-1)]...)
}

// Notes are the notes of one release (N1).
type Notes struct {
	Build
	// Previous is the release that Changes and Packages are since; empty for the oldest
	// that is known.
	Previous string `json:"previous,omitempty"`
	// Changes are versions of Kubernetes, node images and managed components that came,
	// went or changed.
	Changes []Change `json:"changes"`
	// Packages are what differs in the node image.
	Packages []Change `json:"packages"`
}

// Notes writes the notes of a release from the history, the newest if version is empty.
// False means that there is no such release.
func (c *Catalogue) Notes(version string) (Notes, bool) {
	builds := c.Builds
	if len(builds) == 0 {
		builds = []Build{c.current("")}
	}
	at := slices.IndexFunc(builds, func(b Build) bool { return version == "" || b.Version == version })
	if at < 0 {
		return Notes{}, false
	}
	notes := Notes{Build: builds[at], Changes: []Change{}, Packages: []Change{}}
	if at+1 == len(builds) {
		return notes, true
	}
	before := builds[at+1]
	notes.Previous = before.Version
	notes.Changes = append(notes.Changes, kubernetesChanges(before.Kubernetes, notes.Kubernetes)...)
	if before.NodeImage != notes.NodeImage {
		notes.Changes = append(notes.Changes, Change{Name: "node image", From: before.NodeImage, To: notes.NodeImage})
	}
	notes.Changes = append(notes.Changes, changes(before.Components, notes.Components)...)
	from, had := c.NodeImage(before.NodeImage)
	to, has := c.NodeImage(notes.NodeImage)
	if had && has {
		notes.Packages = append(notes.Packages, to.ChangesSince(from)...)
	}
	return notes, true
}

// kubernetesChanges are the versions that came and went.
func kubernetesChanges(before, after []string) []Change {
	var all []Change
	for _, version := range after {
		if !slices.Contains(before, version) {
			all = append(all, Change{Name: "Kubernetes", To: version})
		}
	}
	for _, version := range before {
		if !slices.Contains(after, version) {
			all = append(all, Change{Name: "Kubernetes", From: version})
		}
	}
	return all
}
