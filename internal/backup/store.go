package backup

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/s3blob" // s3://
	"gocloud.dev/gcerrors"
)

// reserve is what a backup leaves free in a directory, in bytes: an etcd may have its
// volume on the same disk.
const reserve = 512 << 20

// Store holds the backups of one cluster in one place.
type Store struct {
	// URL is the place, without anything secret.
	URL    string
	bucket *blob.Bucket
	// dir is the directory of a file store; empty for others.
	dir string
}

// OpenStore opens the part of a store that belongs to a cluster. The directory of a file
// store is not made: where one is missing, something that was to be mounted is.
func OpenStore(ctx context.Context, address, clusterID string) (*Store, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL of a store, such as file:///backups or s3://bucket", Redact(address))
	}
	s := &Store{URL: Redact(address)}
	if parsed.Scheme == "file" {
		return s, s.openDir(parsed, clusterID)
	}
	bucket, err := blob.OpenBucket(ctx, address)
	if err != nil {
		// Its words repeat the address.
		return nil, fmt.Errorf("open the store %s: %s", s.URL, strings.NewReplacer(address, s.URL, parsed.String(), s.URL).Replace(err.Error()))
	}
	if s.bucket = bucket; clusterID != "" {
		s.bucket = blob.PrefixedBucket(bucket, clusterID+"/")
	}
	return s, nil
}

// Parts names the ids that a store has anything of, in order. Nothing is made.
func Parts(ctx context.Context, address string) ([]string, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme == "" {
		return nil, fmt.Errorf("%q is no URL of a store, such as file:///backups or s3://bucket", Redact(address))
	}
	if parsed.Scheme == "file" {
		return partsOfDir(parsed)
	}
	s, err := OpenStore(ctx, address, "")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var found []string
	for listed := s.bucket.List(&blob.ListOptions{Delimiter: "/"}); ; {
		entry, err := listed.Next(ctx)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the store %s: %w", s.URL, plain(err))
		}
		if entry.IsDir {
			found = append(found, strings.TrimSuffix(entry.Key, "/"))
		}
	}
}

func partsOfDir(parsed *url.URL) ([]string, error) {
	entries, err := os.ReadDir(filepath.FromSlash(parsed.Path))
	if err != nil {
		return nil, fmt.Errorf("list the store %s: %w", Redact(parsed.String()), err)
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, entry.Name())
		}
	}
	return found, nil
}

func (s *Store) openDir(parsed *url.URL, clusterID string) error {
	root := filepath.FromSlash(parsed.Path)
	if _, err := os.Stat(root); err != nil {
		return fmt.Errorf("open the store %s: %w", s.URL, plain(err))
	}
	s.dir = filepath.Join(root, clusterID)
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("open the store %s: %w", s.URL, plain(err))
	}
	// Without these a name would not be given in one step, and have a file beside it.
	bucket, err := fileblob.OpenBucket(s.dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return fmt.Errorf("open the store %s: %w", s.URL, plain(err))
	}
	s.bucket = bucket
	return nil
}

// Redact takes passwords and parameters off a URL.
func Redact(address string) string {
	address, _, _ = strings.Cut(address, "?")
	scheme, rest, found := strings.Cut(address, "://")
	if at := strings.LastIndex(rest, "@"); found && at >= 0 {
		return scheme + "://" + rest[at+1:]
	}
	return address
}

// plain is an error of a store without the address that was asked: one of Azure Blob
// carries the token of who may ask it.
func plain(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		return asked.Err
	}
	// Azure's own words are a dozen lines, the whole answer among them.
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return fmt.Errorf("%s (HTTP status %d)", answer.ErrorCode, answer.StatusCode)
	}
	return err
}

// Close lets the store go.
func (s *Store) Close() { _ = s.bucket.Close() }

// there says whether the directory of a file store still is: what lists it would take a
// missing one for an empty one.
func (s *Store) there() error {
	if s.dir == "" {
		return nil
	}
	if _, err := os.Stat(s.dir); err != nil {
		return fmt.Errorf("list the store %s: %w", s.URL, plain(err))
	}
	return nil
}

// List returns everything that is stored, the oldest first.
func (s *Store) List(ctx context.Context) ([]Object, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	var found []Object
	for listed := s.bucket.List(nil); ; {
		entry, err := listed.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the store %s: %w", s.URL, plain(err))
		}
		if object, ok := parse(entry.Key); ok {
			object.Size = entry.Size
			found = append(found, object)
		}
	}
	order(found)
	return found, nil
}

// open reads a sealed object. The error wraps errMissing if there is none.
func (s *Store) open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.bucket.NewReader(ctx, name, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%s in %s: %w", name, s.URL, errMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", name, s.URL, plain(err))
	}
	return r, nil
}

// foreign says whether an object is sealed with another key, as far as that can be told:
// the public half of a key opens nothing.
func (s *Store) foreign(ctx context.Context, name, key string) (bool, error) {
	identity, err := parseKey(key)
	if err != nil {
		return false, nil //nolint:nilerr // the public half
	}
	sealed, err := s.open(ctx, name)
	if err != nil {
		return false, err
	}
	defer sealed.Close()
	reading := &watched{from: sealed}
	_, err = age.Decrypt(reading, identity)
	if reading.err != nil {
		return false, fmt.Errorf("read %s in %s: %w", name, s.URL, plain(reading.err))
	}
	var other *age.NoIdentityMatchError
	return errors.As(err, &other), nil
}

// holds says whether an object is there. The error wraps errEmptied if it is not.
func (s *Store) holds(ctx context.Context, name string) error {
	if err := s.there(); err != nil {
		return err
	}
	there, err := s.bucket.Exists(ctx, name)
	if err != nil {
		return fmt.Errorf("look for %s in %s: %w", name, s.URL, plain(err))
	}
	if !there {
		return fmt.Errorf("%s: %w", s.URL, errEmptied)
	}
	return nil
}

// put stores what is sealed already, and reads it back. The name is given when all is on
// the disk, so that there is either a whole object or none.
func (s *Store) put(ctx context.Context, name string, sealed io.Reader) error {
	sum := &maphash.Hash{} // against mishaps: age is what finds out changes that somebody wants
	if err := s.write(ctx, name, io.TeeReader(sealed, sum)); err != nil {
		return fmt.Errorf("store %s in %s: %w", name, s.URL, plain(err))
	}
	if err := s.check(ctx, name, sum); err != nil {
		if removal := s.bucket.Delete(ctx, name); removal != nil {
			err = fmt.Errorf("%w, and it could not be removed: %w", err, removal)
		}
		return fmt.Errorf("check %s in %s: %w", name, s.URL, plain(err))
	}
	s.forget(name)
	return nil
}

func (s *Store) write(ctx context.Context, name string, sealed io.Reader) error {
	options := &blob.WriterOptions{ContentType: "application/octet-stream"}
	if s.dir == "" {
		// Not by a Writer: that of Azure Blob brings the program down when an upload fails.
		return s.bucket.Upload(ctx, name, sealed, options)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	options.BeforeWrite = func(as func(any) bool) error { as(&file); return nil }
	w, err := s.bucket.NewWriter(ctx, name, options)
	if err != nil {
		return err
	}
	if err := s.toDisk(w, file, sealed); err != nil {
		// A writer that is closed after this stores nothing.
		cancel()
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func (s *Store) check(ctx context.Context, name string, want *maphash.Hash) error {
	r, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	got := &maphash.Hash{}
	got.SetSeed(want.Seed())
	if _, err := io.CopyBuffer(got, struct{ io.Reader }{r}, make([]byte, piece)); err != nil {
		return err
	}
	if got.Sum64() != want.Sum64() {
		return errors.New("the store gives back something else than it was given")
	}
	return nil
}

// retain removes what is not to be kept, and what interrupted backups left.
func (s *Store) retain(ctx context.Context, keep Retention, now time.Time) error {
	if err := s.removeLeftovers(); err != nil {
		return err
	}
	found, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, object := range keep.expired(found, now) {
		if err := s.bucket.Delete(ctx, object.Name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("remove the old backup %s in %s: %w", object.Name, s.URL, plain(err))
		}
	}
	return nil
}

// leftoverAge is how old, at least, a file is that an interrupted backup left: another
// one may be being written.
const leftoverAge = time.Hour

// removeLeftovers removes what was written to a directory and never got its name.
func (s *Store) removeLeftovers() error {
	if s.dir == "" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*.zst.age.*.tmp"))
	if err != nil {
		return fmt.Errorf("list the store: %w", err)
	}
	for _, path := range left {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < leftoverAge {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove what an interrupted backup left: %w", err)
		}
	}
	return nil
}

// syncDir makes renames in a directory last.
func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
