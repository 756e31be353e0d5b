package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Seed takes in every OCI layout that lies directly in dir and returns how many there were. An image is named by its
// annotations or else by the layout's directory, NAME_TAG, as berth/NAME:TAG; its tag moves there if it meant something
// else. Content is linked where the file system allows it and copied where not, and always checked; what is here
// already is not read again, so seeding twice costs next to nothing.
func (r *Registry) Seed(ctx context.Context, dir string) (int, error) {
	if r.store.dir == "" {
		return 0, errors.New("seed registry: it has no directory of its own")
	}
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
		images, err := readLayout(source)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return seeded, fmt.Errorf("seed registry: %w", err)
		}
		for _, image := range images {
			if err := r.store.beside(ctx, func() error { return r.seedImage(source, image) }); err != nil {
				return seeded, fmt.Errorf("seed registry from %s: %w", source, err)
			}
		}
		seeded++
	}
	return seeded, nil
}

func (r *Registry) seedImage(source string, image layoutImage) error {
	if digest, _, err := r.store.resolve(image.name, image.tag); err == nil && digest == image.manifest.Digest {
		if _, ok := r.store.has(digest); ok {
			return nil
		}
	}
	return visitManifests(source, image.manifest, func(manifest v1.Descriptor, body manifestBody) error {
		for _, part := range append(body.blobs(), manifest) {
			if err := r.store.adopt(layoutBlob(source, part.Digest), part); err != nil {
				return fmt.Errorf("blob %s: %w", part.Digest, err)
			}
		}
		tag := ""
		if manifest.Digest == image.manifest.Digest {
			tag = image.tag
		}
		return r.store.link(image.name, manifest.Digest, string(manifest.MediaType), tag)
	})
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
