package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// store is the directory, with every write atomic and durable. Without a directory it is empty and takes nothing.
type store struct{ dir string }

func openStore(dir string) (store, error) {
	s := store{dir}
	if dir == "" {
		return s, nil
	}
	for _, sub := range []string{s.blobs(), s.uploads(), s.repositories()} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return s, fmt.Errorf("open registry: %w", err)
		}
	}
	return s, s.removeLeft()
}

func (s store) blobs() string              { return filepath.Join(s.dir, "blobs", "sha256") }
func (s store) uploads() string            { return filepath.Join(s.dir, "uploads") }
func (s store) repositories() string       { return filepath.Join(s.dir, "repositories") }
func (s store) blob(digest v1.Hash) string { return filepath.Join(s.blobs(), digest.Hex) }
func (s store) manifests(name string) string {
	return filepath.Join(s.repositories(), name, "_manifests")
}
func (s store) tags(name string) string { return filepath.Join(s.repositories(), name, "_tags") }

// has says whether the blob is here and how large it is.
func (s store) has(digest v1.Hash) (size int64, ok bool) {
	if s.dir == "" {
		return 0, false
	}
	info, err := os.Stat(s.blob(digest))
	if err != nil {
		return 0, false
	}
	return info.Size(), true
}

func discard(file *os.File) {
	_ = errors.Join(file.Close(), os.Remove(file.Name())) // the next start removes what is left
}

// commit makes a received file the content of path. It is locked until it has that name.
func (s store) commit(file *os.File, path string) error {
	err := errors.Join(file.Chmod(0o644), file.Sync())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		discard(file)
		return fmt.Errorf("store content: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	defer handle.Close()
	if err := handle.Sync(); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	return nil
}

// write stores a small file whole, with the directories that it needs.
func (s store) write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	file, err := s.receive()
	if err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		discard(file)
		return fmt.Errorf("store content: %w", err)
	}
	return s.commit(file, path)
}

// putBlob stores what it reads if it has the digest.
func (s store) putBlob(digest v1.Hash, content io.Reader) error {
	file, err := s.receive()
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, sum), content); err != nil {
		discard(file)
		return fmt.Errorf("store content: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != digest.Hex {
		discard(file)
		return errDigest
	}
	return s.commit(file, s.blob(digest))
}

// link makes a stored manifest part of a repository and, if tag is not empty, what the tag means.
func (s store) link(name string, digest v1.Hash, mediaType, tag string) error {
	if err := s.write(filepath.Join(s.manifests(name), digest.Hex), []byte(mediaType)); err != nil {
		return err
	}
	if tag == "" {
		return nil
	}
	return s.write(filepath.Join(s.tags(name), tag), []byte(digest.String()))
}

// resolve finds what a tag or digest means in a repository, or errManifestUnknown.
func (s store) resolve(name, reference string) (digest v1.Hash, mediaType string, err error) {
	if s.dir == "" {
		return digest, "", errManifestUnknown
	}
	if strings.Contains(reference, ":") {
		if digest, err = parseDigest(reference); err != nil {
			return digest, "", err
		}
	} else {
		if !tagName.MatchString(reference) {
			return digest, "", errTag
		}
		content, err := os.ReadFile(filepath.Join(s.tags(name), reference))
		if err != nil {
			return digest, "", missing(err, errManifestUnknown)
		}
		if digest, err = parseDigest(string(content)); err != nil {
			return digest, "", fmt.Errorf("tag %s:%s: %w", name, reference, errInternal)
		}
	}
	content, err := os.ReadFile(filepath.Join(s.manifests(name), digest.Hex))
	if err != nil {
		return digest, "", missing(err, errManifestUnknown)
	}
	return digest, string(content), nil
}

func missing(err error, otherwise *apiError) error {
	if errors.Is(err, fs.ErrNotExist) {
		return otherwise
	}
	return err
}

// unlink removes a tag, or a manifest with every tag that means it.
func (s store) unlink(name, reference string) error {
	digest, _, err := s.resolve(name, reference)
	if err != nil {
		return err
	}
	if !strings.Contains(reference, ":") {
		return os.Remove(filepath.Join(s.tags(name), reference))
	}
	tags, err := s.listTags(name)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if meant, _, err := s.resolve(name, tag); err == nil && meant == digest {
			if err := os.Remove(filepath.Join(s.tags(name), tag)); err != nil {
				return err
			}
		}
	}
	return os.Remove(filepath.Join(s.manifests(name), digest.Hex))
}

// listTags is sorted; it is errNameUnknown if there is no such repository.
func (s store) listTags(name string) ([]string, error) {
	if s.dir == "" {
		return nil, errNameUnknown
	}
	if _, err := os.Stat(s.manifests(name)); err != nil {
		return nil, missing(err, errNameUnknown)
	}
	entries, err := os.ReadDir(s.tags(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tags := make([]string, 0, len(entries))
	for _, entry := range entries {
		tags = append(tags, entry.Name())
	}
	return tags, nil
}

// listRepositories is sorted.
func (s store) listRepositories() ([]string, error) {
	names := []string{}
	if s.dir == "" {
		return names, nil
	}
	err := filepath.WalkDir(s.repositories(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || entry.Name() != "_manifests" {
			return err
		}
		name, err := filepath.Rel(s.repositories(), filepath.Dir(path))
		names = append(names, filepath.ToSlash(name))
		return err
	})
	slices.Sort(names)
	return names, err
}

// sweep removes content older than before that no manifest names.
func (s store) sweep(before time.Time) error {
	if s.dir == "" {
		return nil
	}
	named := map[string]bool{}
	repositories, err := s.listRepositories()
	if err != nil {
		return fmt.Errorf("sweep registry: %w", err)
	}
	for _, name := range repositories {
		links, err := os.ReadDir(s.manifests(name))
		if err != nil {
			return fmt.Errorf("sweep registry: %w", err)
		}
		for _, link := range links {
			named[link.Name()] = true
			content, err := os.ReadFile(filepath.Join(s.blobs(), link.Name()))
			if err != nil {
				continue // pulls of it will say so; nothing that it named can be known
			}
			body, err := parseManifest(content)
			if err != nil {
				return fmt.Errorf("sweep registry: manifest %s of %s: %w", link.Name(), name, err)
			}
			for _, digest := range body.references() {
				named[digest.Hex] = true
			}
		}
	}
	return s.removeUnnamed(named, before)
}

func (s store) removeUnnamed(named map[string]bool, before time.Time) error {
	blobs, err := os.ReadDir(s.blobs())
	if err != nil {
		return fmt.Errorf("sweep registry: %w", err)
	}
	for _, blob := range blobs {
		info, err := blob.Info()
		if err != nil || named[blob.Name()] || info.ModTime().After(before) {
			continue
		}
		if err := os.Remove(filepath.Join(s.blobs(), blob.Name())); err != nil {
			return fmt.Errorf("sweep registry: %w", err)
		}
	}
	return nil
}
