package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Remove forgets an image by its reference, with or without a host, or all images of a
// repository where the reference has no tag. What is not here needs no removal; images in
// layouts stay. Content that nothing else names goes with it, once it is an hour old.
func (r *Registry) Remove(ctx context.Context, reference string) error {
	if host, rest, ok := strings.Cut(reference, "/"); ok && strings.ContainsAny(host, ".:") {
		reference = rest
	}
	name, tag := cutLast(reference, ":")
	if !repositoryName.MatchString(name) {
		return fmt.Errorf("remove image %s: %w", reference, errName)
	}
	return r.store.alone(ctx, func() error {
		if err := r.store.forgetAll(name, tag); err != nil {
			return gone(reference, err)
		}
		return r.store.sweep(time.Now().Add(-orphanAge))
	})
}

// gone passes over what is not there.
func gone(reference string, err error) error {
	if errors.Is(err, errManifestUnknown) || errors.Is(err, errNameUnknown) {
		return nil
	}
	return fmt.Errorf("remove image %s: %w", reference, err)
}

// forgetAll removes a tag, or all of a repository where none is named, and the repository with
// the last.
func (s store) forgetAll(name, tag string) error {
	tags := []string{tag}
	if tag == "" {
		var err error
		if tags, err = s.listTags(name); err != nil {
			return err
		}
	}
	for _, one := range tags {
		if err := s.forget(name, one); err != nil {
			return err
		}
	}
	return s.removeEmpty(name)
}

// forget removes a tag, and its manifest where no other tag means it.
func (s store) forget(name, tag string) error {
	digest, _, err := s.resolve(name, tag)
	if err != nil {
		return err
	}
	if err := s.unlink(name, tag); err != nil {
		return err
	}
	tags, err := s.listTags(name)
	if err != nil {
		return err
	}
	for _, other := range tags {
		if meant, _, err := s.resolve(name, other); err == nil && meant == digest {
			return nil
		}
	}
	return s.unlink(name, digest.String())
}

// removeEmpty removes a repository that has no manifest any more.
func (s store) removeEmpty(name string) error {
	manifests, err := os.ReadDir(s.manifests(name))
	if err != nil || len(manifests) > 0 {
		return err
	}
	return errors.Join(os.RemoveAll(s.tags(name)), os.Remove(s.manifests(name)), os.Remove(filepath.Dir(s.manifests(name))))
}
