package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The annotations that name an image in a layout's index: containerd's full reference, and OCI's, which is often only
// the tag.
const (
	annotationImageName = "io.containerd.image.name"
	annotationRefName   = "org.opencontainers.image.ref.name"
)

// seedNamespace is where images go whose layout does not name a repository.
const seedNamespace = "berth"

// Seed takes in every OCI layout that lies directly in dir and returns how many there were. An image is named by its
// annotations or else by the layout's directory, NAME_TAG, as berth/NAME:TAG; its tag moves there if it meant something
// else. Content is linked where the file system allows it and copied where not, and always checked; what is here
// already is not read again, so seeding twice costs next to nothing.
func (r *Registry) Seed(ctx context.Context, dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("seed registry: %w", err)
	}
	seeded := 0
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return seeded, err
		}
		source := filepath.Join(dir, entry.Name())
		content, err := os.ReadFile(filepath.Join(source, "index.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return seeded, fmt.Errorf("seed registry: %w", err)
		}
		var index v1.IndexManifest
		if err := json.Unmarshal(content, &index); err != nil {
			return seeded, fmt.Errorf("seed registry: index of %s: %w", source, err)
		}
		for _, image := range index.Manifests {
			if err := r.seedImage(source, image); err != nil {
				return seeded, fmt.Errorf("seed registry from %s: %w", source, err)
			}
		}
		seeded++
	}
	return seeded, nil
}

func (r *Registry) seedImage(source string, image v1.Descriptor) error {
	name, tag, err := imageName(filepath.Base(source), image.Annotations)
	if err != nil {
		return err
	}
	if digest, _, err := r.store.resolve(name, tag); err == nil && digest == image.Digest {
		if _, ok := r.store.has(digest); ok {
			return nil
		}
	}
	return r.seedManifest(source, name, tag, image)
}

// seedManifest takes in a manifest after all that it names.
func (r *Registry) seedManifest(source, name, tag string, manifest v1.Descriptor) error {
	content, err := os.ReadFile(layoutBlob(source, manifest.Digest))
	if err != nil {
		return err
	}
	body, err := parseManifest(content)
	if err != nil {
		return err
	}
	for _, child := range body.Manifests {
		if err := r.seedManifest(source, name, "", child); err != nil {
			return err
		}
	}
	for _, part := range append(body.blobs(), manifest) {
		if err := r.store.adopt(layoutBlob(source, part.Digest), part); err != nil {
			return fmt.Errorf("blob %s: %w", part.Digest, err)
		}
	}
	return r.store.link(name, manifest.Digest, string(manifest.MediaType), tag)
}

func layoutBlob(layout string, digest v1.Hash) string {
	return filepath.Join(layout, "blobs", digest.Algorithm, digest.Hex)
}

// adopt takes in a blob from a file that nobody writes to any more.
func (s store) adopt(path string, blob v1.Descriptor) error {
	if size, ok := s.has(blob.Digest); ok && size == blob.Size {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if os.Link(path, s.blob(blob.Digest)) != nil {
		return s.putBlob(blob.Digest, file)
	}
	digest, _, err := v1.SHA256(file)
	if err == nil && digest != blob.Digest {
		err = errDigest
	}
	if err != nil {
		return errors.Join(err, os.Remove(s.blob(blob.Digest)))
	}
	return syncDir(s.blobs())
}

// imageName finds the repository and tag of a layout's image.
func imageName(directory string, annotations map[string]string) (name, tag string, err error) {
	base, dirTag, _ := cutLast(directory, "_")
	name, tag = seedNamespace+"/"+base, dirTag
	for _, key := range []string{annotationRefName, annotationImageName} {
		switch reference := annotations[key]; {
		case strings.Contains(reference, "/"):
			path := reference
			if host, rest, _ := strings.Cut(reference, "/"); strings.ContainsAny(host, ".:") {
				path = rest
			}
			name, tag, _ = cutLast(path, ":")
		case reference != "":
			tag = reference
		}
	}
	if !repositoryName.MatchString(name) || !tagName.MatchString(tag) {
		return "", "", fmt.Errorf("layout %s names no image: %s:%s", directory, name, tag)
	}
	return name, tag, nil
}

func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(separator):], true
}
