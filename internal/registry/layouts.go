package registry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The annotations that name an image in a layout's index: containerd's full reference, and OCI's, which is often only
// the tag.
const (
	annotationImageName = "io.containerd.image.name"
	annotationRefName   = "org.opencontainers.image.ref.name"
)

// layoutNamespace is where images are whose layout does not name a repository.
const layoutNamespace = "berth"

// layoutImage is one image of an OCI layout.
type layoutImage struct {
	name, tag string
	manifest  v1.Descriptor
}

// holdsLayouts says whether a layout lies directly in dir.
func holdsLayouts(dir string) bool {
	found, err := filepath.Glob(filepath.Join(dir, "*", "index.json"))
	return dir != "" && err == nil && len(found) > 0
}

// readLayout lists the images of the layout in dir; fs.ErrNotExist means that it is none.
func readLayout(dir string) ([]layoutImage, error) {
	content, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(content, &index); err != nil {
		return nil, fmt.Errorf("index of layout %s: %w", dir, err)
	}
	var images []layoutImage
	for _, manifest := range index.Manifests {
		name, tag, err := imageName(filepath.Base(dir), manifest.Annotations)
		if err != nil {
			return nil, err
		}
		images = append(images, layoutImage{name, tag, manifest})
	}
	return images, nil
}

// visitManifests visits a manifest of a layout after all manifests that it names.
func visitManifests(layout string, manifest v1.Descriptor, visit func(v1.Descriptor, manifestBody) error) error {
	if _, err := parseDigest(manifest.Digest.String()); err != nil {
		return err
	}
	content, err := os.ReadFile(layoutBlob(layout, manifest.Digest))
	if err != nil {
		return err
	}
	body, err := parseManifest(content)
	if err != nil {
		return err
	}
	for _, child := range body.Manifests {
		if err := visitManifests(layout, child, visit); err != nil {
			return err
		}
	}
	return visit(manifest, body)
}

func layoutBlob(layout string, digest v1.Hash) string {
	return filepath.Join(layout, "blobs", digest.Algorithm, digest.Hex)
}

// layouts serves a directory of OCI layouts where they lie. It is read again when it has changed and something is not
// found in it.
type layouts struct {
	dir string
	log *slog.Logger

	mu        sync.Mutex
	changed   time.Time                            // of dir, when it was read
	manifests map[string]map[string]layoutManifest // by repository, then by tag and by digest
	blobs     map[v1.Hash]string                   // paths
}

type layoutManifest struct {
	digest    v1.Hash
	mediaType string
}

func (l *layouts) resolve(name, reference string) (found layoutManifest, ok bool) {
	return look(l, func() (layoutManifest, bool) {
		found, ok := l.manifests[name][reference]
		return found, ok
	})
}

// blob is the path of the content.
func (l *layouts) blob(digest v1.Hash) (path string, ok bool) {
	return look(l, func() (string, bool) {
		path, ok := l.blobs[digest]
		return path, ok
	})
}

func (l *layouts) tags(name string) (tags []string, ok bool) {
	return look(l, func() ([]string, bool) {
		references, ok := l.manifests[name]
		tags := []string{}
		for reference := range references {
			if !strings.Contains(reference, ":") {
				tags = append(tags, reference)
			}
		}
		return tags, ok
	})
}

func (l *layouts) repositories() []string {
	names, _ := look(l, func() ([]string, bool) {
		names := []string{}
		for name := range l.manifests {
			names = append(names, name)
		}
		return names, len(names) > 0
	})
	return names
}

func look[T any](l *layouts, find func() (T, bool)) (T, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := find(); ok || !l.reread() {
		return found, ok
	}
	return find()
}

// reread reads the directory if it has changed and says whether it did. A layout that cannot be read is left out: the
// others must not suffer.
func (l *layouts) reread() bool {
	info, err := os.Stat(l.dir)
	if l.dir == "" || err != nil || info.ModTime().Equal(l.changed) {
		return false
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		l.log.Error("read image layouts", "error", err)
		return false
	}
	l.changed = info.ModTime()
	l.manifests, l.blobs = map[string]map[string]layoutManifest{}, map[v1.Hash]string{}
	for _, entry := range entries {
		dir := filepath.Join(l.dir, entry.Name())
		if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
			continue
		}
		if err := l.add(dir); err != nil {
			l.log.Error("read image layout", "path", dir, "error", err)
		}
	}
	return true
}

func (l *layouts) add(dir string) error {
	images, err := readLayout(dir)
	if err != nil {
		return err
	}
	for _, image := range images {
		err := visitManifests(dir, image.manifest, func(manifest v1.Descriptor, body manifestBody) error {
			for _, part := range append(body.blobs(), manifest) {
				l.blobs[part.Digest] = layoutBlob(dir, part.Digest)
			}
			l.name(image.name, manifest.Digest.String(), manifest)
			return nil
		})
		if err != nil {
			return err
		}
		l.name(image.name, image.tag, image.manifest)
	}
	return nil
}

func (l *layouts) name(repository, reference string, manifest v1.Descriptor) {
	if l.manifests[repository] == nil {
		l.manifests[repository] = map[string]layoutManifest{}
	}
	l.manifests[repository][reference] = layoutManifest{manifest.Digest, string(manifest.MediaType)}
}

// merge is the sorted union.
func merge(a, b []string) []string {
	all := slices.Concat([]string{}, a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// imageName finds the repository and tag of a layout's image.
func imageName(directory string, annotations map[string]string) (name, tag string, err error) {
	base, dirTag := cutLast(directory, "_")
	name, tag = layoutNamespace+"/"+base, dirTag
	for _, key := range []string{annotationRefName, annotationImageName} {
		switch reference := annotations[key]; {
		case strings.Contains(reference, "/"):
			path := reference
			if host, rest, _ := strings.Cut(reference, "/"); strings.ContainsAny(host, ".:") {
				path = rest
			}
			name, tag = cutLast(path, ":")
		case reference != "":
			tag = reference
		}
	}
	if !repositoryName.MatchString(name) || !tagName.MatchString(tag) {
		return "", "", fmt.Errorf("layout %s names no image: %s:%s", directory, name, tag)
	}
	return name, tag, nil
}

func cutLast(text, separator string) (before, after string) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, ""
	}
	return text[:at], text[at+len(separator):]
}
