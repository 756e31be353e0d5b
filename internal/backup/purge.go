package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gocloud.dev/gcerrors"
)

// ErrInUse says that a store holds backups from a time when there should be none: somebody
// else runs the cluster, or it came back unnoticed. They are left alone.
var ErrInUse = errors.New("the store has newer backups of the cluster")

// Purge removes all backups of a cluster from a store, for good, unless one is from after
// the given time. It may be repeated.
func Purge(ctx context.Context, address, clusterID string, newest time.Time) error {
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

// empty removes everything, also what interrupted backups left, and the directory.
func (s *Store) empty(ctx context.Context) error {
	for listed := s.bucket.List(nil); ; {
		entry, err := listed.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("list the store %s: %w", s.URL, plain(err))
		}
		if err := s.bucket.Delete(ctx, entry.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("remove %s in %s: %w", entry.Key, s.URL, plain(err))
		}
	}
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the backups in %s: %w", s.URL, plain(err))
	}
	return nil
}
