package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
)

// reserve is what a backup leaves free in a directory, in bytes: an etcd may have
// its volume on the same disk.
const reserve = 512 << 20

// timeFormat is that of the times in names.
const timeFormat = "20060102T150405Z"

// names is the form of a backup's name. What has another is not touched, but for
// what interrupted backups left.
var names = regexp.MustCompile(`^\d+-(\d{8}T\d{6}Z)\.snapshot\.zst\.enc$`)

// nameOf names the backup of a revision that was begun at a time.
func nameOf(revision int64, begun time.Time) string {
	return fmt.Sprintf("%d-%s.snapshot.zst.enc", revision, begun.UTC().Format(timeFormat))
}

// store holds the backups of one cluster.
type store struct {
	bucket *blob.Bucket
	// dir is the directory of a file store; empty for others.
	dir string
}

// openStore opens a store that is there: a directory is not made, since where one
// is missing something that was to be mounted is.
func openStore(ctx context.Context, address string) (*store, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("--store %q is no URL such as file:///backups: %w", address, err)
	}
	s := &store{}
	if parsed.Scheme == "file" {
		s.dir = filepath.FromSlash(parsed.Path)
		// Without these a name would not be given in one step, and have a file beside it.
		parsed.RawQuery = url.Values{"no_tmp_dir": {"true"}, "metadata": {"skip"}}.Encode()
	}
	if s.bucket, err = blob.OpenBucket(ctx, parsed.String()); err != nil {
		return nil, fmt.Errorf("open the store %s: %w", address, err)
	}
	return s, nil
}

func (s *store) close() { s.bucket.Close() }

// hasRoom says whether a directory can take as much and leave the reserve. Other
// stores say so themselves when they cannot.
func (s *store) hasRoom(size int64) error {
	if s.dir == "" {
		return nil
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil {
		return fmt.Errorf("measure the store: %w", err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < size+reserve {
		return fmt.Errorf("the store is full: %d MiB are free, and a backup may need %d and leaves %d", free>>20, size>>20, reserve>>20)
	}
	return nil
}

// put stores what write writes under a name, and reads it back. The name is given
// when all is on the disk, so that there is either a whole object or none.
func (s *store) put(ctx context.Context, name string, write func(io.Writer) error) (int64, error) {
	sum := &counter{hash: sha256.New()}
	if err := s.write(ctx, name, func(w io.Writer) error { return write(io.MultiWriter(w, sum)) }); err != nil {
		return 0, fmt.Errorf("store %s: %w", name, err)
	}
	if err := s.check(ctx, name, sum.hash.Sum(nil)); err != nil {
		if removal := s.bucket.Delete(ctx, name); removal != nil {
			err = fmt.Errorf("%w, and it could not be removed: %w", err, removal)
		}
		return 0, fmt.Errorf("check %s: %w", name, err)
	}
	return sum.size, nil
}

func (s *store) write(ctx context.Context, name string, write func(io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	w, err := s.bucket.NewWriter(ctx, name, &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BeforeWrite: func(as func(any) bool) error { as(&file); return nil },
	})
	if err != nil {
		return err
	}
	err = write(w)
	if err == nil && file != nil {
		err = file.Sync()
	}
	if err != nil {
		// A writer that is closed after this stores nothing.
		cancel()
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil || s.dir == "" {
		return err
	}
	return syncDir(s.dir)
}

func (s *store) check(ctx context.Context, name string, want []byte) error {
	r, err := s.bucket.NewReader(ctx, name, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	got := sha256.New()
	if _, err := io.Copy(got, r); err != nil {
		return err
	}
	if !bytes.Equal(got.Sum(nil), want) {
		return fmt.Errorf("the store gives back something else than it was given")
	}
	return nil
}

// retain removes all backups but the newest, and what interrupted backups left.
// There is one backup of a cluster at a time.
func (s *store) retain(ctx context.Context, keep int) error {
	if err := s.removeLeftovers(); err != nil {
		return err
	}
	found, err := s.list(ctx)
	if err != nil {
		return err
	}
	for _, name := range found[:max(0, len(found)-keep)] {
		if err := s.bucket.Delete(ctx, name); err != nil {
			return fmt.Errorf("remove the old backup %s: %w", name, err)
		}
	}
	return nil
}

// list returns the names of all backups, the oldest first. Their times decide: a
// restore by hand may have taken revisions back.
func (s *store) list(ctx context.Context) ([]string, error) {
	var found []string
	for listed := s.bucket.List(nil); ; {
		object, err := listed.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the store: %w", err)
		}
		if names.MatchString(object.Key) {
			found = append(found, object.Key)
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		if byTime := strings.Compare(names.FindStringSubmatch(a)[1], names.FindStringSubmatch(b)[1]); byTime != 0 {
			return byTime
		}
		if byLength := len(a) - len(b); byLength != 0 {
			return byLength
		}
		return strings.Compare(a, b)
	})
	return found, nil
}

// removeLeftovers removes what was written to a directory and never got its name.
func (s *store) removeLeftovers() error {
	if s.dir == "" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*.snapshot.zst.enc.*.tmp"))
	if err != nil {
		return fmt.Errorf("list the store: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove what an interrupted backup left: %w", err)
		}
	}
	return nil
}

// counter measures what is written to it.
type counter struct {
	hash hash.Hash
	size int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	return c.hash.Write(p)
}
