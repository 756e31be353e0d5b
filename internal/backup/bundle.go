package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"gocloud.dev/gcerrors"
)

// bundlesKept is how many bundles a store keeps. The newest is of use, and those before
// it where it is damaged.
const bundlesKept = 5

// bundleLimit bounds a bundle, in bytes: it holds keys and certificates.
const bundleLimit = 4 << 20

// bundleNames is the form of a bundle's name: when it was first stored, and the digest
// of what it holds.
var bundleNames = regexp.MustCompile(`^bundle-(\d{8}T\d{6}Z)-([0-9a-f]{16})\.zst\.age$`)

// Bundle is a set of small files, sealed: what the machine below a management cluster
// needs beside its etcd's data.
type Bundle struct {
	// Digest changes with the files, and says nothing else about them.
	Digest string
	Sealed []byte
}

// SealBundle seals files, named by their relative paths, for a public key.
func SealBundle(publicKey string, files map[string][]byte) (Bundle, error) {
	recipient, err := recipientOf(publicKey)
	if err != nil {
		return Bundle{}, err
	}
	plain, err := json.Marshal(files) // in order of the names
	if err != nil {
		return Bundle{}, fmt.Errorf("encode the bundle: %w", err)
	}
	if len(plain) > bundleLimit {
		return Bundle{}, fmt.Errorf("the bundle has %d KiB, at most %d are allowed", len(plain)>>10, bundleLimit>>10)
	}
	var sealed bytes.Buffer
	if err := seal(&sealed, bytes.NewReader(plain), recipient); err != nil {
		return Bundle{}, err
	}
	sum := sha256.Sum256(plain)
	return Bundle{Digest: hex.EncodeToString(sum[:8]), Sealed: sealed.Bytes()}, nil
}

// openBundle is the way back. The error wraps errDamaged: that of another key would lie
// elsewhere.
func openBundle(key string, sealed []byte) (map[string][]byte, error) {
	identity, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	if err := unseal(&limited{to: &plain, left: bundleLimit}, bytes.NewReader(sealed), identity); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	var files map[string][]byte
	if err := json.Unmarshal(plain.Bytes(), &files); err != nil {
		return nil, fmt.Errorf("%w: it is no bundle", errDamaged)
	}
	for name := range files {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%w: it names a file outside", errDamaged)
		}
	}
	return files, nil
}

// ErrNoBundle says that a store has no bundle that opens.
var ErrNoBundle = errors.New("no bundle")

// limited ends where more comes than is allowed.
type limited struct {
	to   io.Writer
	left int
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("it is too large")
	}
	return l.to.Write(p)
}

// bundles are the names of a store's bundles, the oldest first.
func (s *Store) bundles(ctx context.Context) ([]string, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	var found []string
	for listed := s.bucket.List(nil); ; {
		entry, err := listed.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the store %s: %w", s.URL, plain(err))
		}
		if bundleNames.MatchString(entry.Key) {
			found = append(found, entry.Key)
		}
	}
	slices.Sort(found)
	return found, nil
}

// putBundle stores a bundle unless the newest one holds the same.
func (s *Store) putBundle(ctx context.Context, b Bundle, now time.Time) error {
	found, err := s.bundles(ctx)
	if err != nil {
		return err
	}
	if len(found) > 0 && bundleNames.FindStringSubmatch(found[len(found)-1])[2] == b.Digest {
		return nil
	}
	if err := s.hasRoom(int64(len(b.Sealed))); err != nil {
		return err
	}
	name := fmt.Sprintf("bundle-%s-%s.zst.age", now.UTC().Format(timeFormat), b.Digest)
	if err := s.put(ctx, name, bytes.NewReader(b.Sealed)); err != nil {
		return err
	}
	for _, old := range found[:max(0, len(found)+1-bundlesKept)] {
		if err := s.bucket.Delete(ctx, old); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("remove the old bundle %s in %s: %w", old, s.URL, plain(err))
		}
	}
	return nil
}

// OpenedBundle is a bundle as it was found in a store.
type OpenedBundle struct {
	Name  string
	Files map[string][]byte
	// Damaged are the newer ones that were passed over.
	Damaged []string
}

// Bundle opens the newest bundle that is whole. The error wraps ErrNoBundle if there is
// none.
func (s *Store) Bundle(ctx context.Context, key string) (OpenedBundle, error) {
	found, err := s.bundles(ctx)
	if err != nil {
		return OpenedBundle{}, err
	}
	slices.Reverse(found)
	var opened OpenedBundle
	for _, name := range found {
		sealed, err := s.read(ctx, name)
		if err != nil {
			return OpenedBundle{}, err
		}
		opened.Name = name
		if opened.Files, err = openBundle(key, sealed); err == nil {
			return opened, nil
		}
		if !errors.Is(err, errDamaged) {
			return OpenedBundle{}, fmt.Errorf("open %s in %s: %w", name, s.URL, plain(err))
		}
		opened.Damaged = append(opened.Damaged, name)
	}
	if len(opened.Damaged) > 0 {
		return OpenedBundle{}, fmt.Errorf("%w of %d in %s opens: all are damaged", ErrNoBundle, len(found), s.URL)
	}
	return OpenedBundle{}, fmt.Errorf("%w is in %s", ErrNoBundle, s.URL)
}

// read is the sealed content of a small object.
func (s *Store) read(ctx context.Context, name string) ([]byte, error) {
	r, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sealed, err := io.ReadAll(io.LimitReader(r, 2*bundleLimit))
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", name, s.URL, plain(err))
	}
	return sealed, nil
}
