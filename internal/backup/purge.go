package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/gcerrors"
)

// ErrInUse says that a store holds backups from a time when there should be none: somebody
// else runs the cluster, or it came back unnoticed. They are left alone.
var ErrInUse = errors.New("the store has newer backups of the cluster")

// ErrNotThere says that a directory has nothing of a cluster that was backed up into it: what
// is to be mounted there is not, or somebody has removed it.
var ErrNotThere = errors.New("the store is not the one that was used")

// Purge removes all backups of a cluster from a store, for good, unless one is from after
// the given time. The cluster's directory stays, empty, until Forget, so that it may be
// repeated; had says that there must be one, since the cluster was backed up there.
func Purge(ctx context.Context, address, clusterID string, newest time.Time, had bool) error {
	there, dir, err := partOf(address, clusterID)
	switch {
	case err != nil:
		return err
	case !there && had:
		return fmt.Errorf("%w: there is no %s; mount what is missing, or make that directory if the backups were removed on purpose", ErrNotThere, dir)
	case !there:
		return nil
	}
	store, err := OpenStore(ctx, address, clusterID)
	if err != nil {
		return err
	}
	defer store.Close()
	objects, err := store.List(ctx)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.Time.After(newest) {
			return fmt.Errorf("%w: %s in %s", ErrInUse, object.Name, store.URL)
		}
	}
	return store.empty(ctx)
}

// Forget removes the directory of a cluster whose backups are purged. It may be repeated.
func Forget(address, clusterID string) error {
	there, dir, err := partOf(address, clusterID)
	if err != nil || !there || dir == "" {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the backups in %s: %w", Redact(address), plain(err))
	}
	return nil
}

// partOf says whether the directory of a cluster is in a file store, and which one it is. In
// other stores there is always one, which has no name.
func partOf(address, clusterID string) (there bool, dir string, err error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return false, "", fmt.Errorf("%q is no URL of a store, such as file:///backups or s3://bucket", Redact(address))
	}
	if parsed.Scheme != "file" {
		return true, "", nil
	}
	root := filepath.FromSlash(parsed.Path)
	if _, err := os.Stat(root); err != nil {
		return false, "", fmt.Errorf("open the store %s: %w", Redact(address), plain(err))
	}
	dir = filepath.Join(root, clusterID)
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return false, dir, nil
		}
		return false, "", fmt.Errorf("open the store %s: %w", Redact(address), plain(err))
	}
	return true, dir, nil
}

// empty removes everything, also what interrupted backups left.
func (s *Store) empty(ctx context.Context) error {
	for listed := s.bucket.List(nil); ; {
		entry, err := listed.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("list the store %s: %w", s.URL, plain(err))
		}
		if ctx.Err() != nil {
			return ctx.Err() // a directory does not heed it
		}
		if err := s.bucket.Delete(ctx, entry.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("remove %s in %s: %w", entry.Key, s.URL, plain(err))
		}
	}
	if s.dir == "" {
		return nil
	}
	left, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list the store %s: %w", s.URL, plain(err))
	}
	for _, entry := range left {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := os.RemoveAll(filepath.Join(s.dir, entry.Name())); err != nil {
			return fmt.Errorf("remove the backups in %s: %w", s.URL, plain(err))
		}
	}
	return nil
}
