package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/volume"
)

// revive gives the volumes that a restored management cluster knows of their directories
// again, empty. What clusters' etcds had in them comes back from their own backups, since
// an etcd that had data does not start without (C3).
func (u *upper) revive(ctx context.Context) error {
	found, err := readJSON(u.paths.restoreRecord(), &restoreRecord{})
	if err != nil || !found {
		return err
	}
	var volumes corev1.PersistentVolumeList
	if err := u.cluster.List(ctx, &volumes); err != nil {
		return fmt.Errorf("list the volumes to make again: %w", err)
	}
	for _, v := range volumes.Items {
		if err := u.remake(&v); err != nil {
			return err
		}
	}
	return nil
}

// account ends a restore, if there was one, and says what is back and what is not.
func (u *upper) account(ctx context.Context) error {
	var record restoreRecord
	found, err := readJSON(u.paths.restoreRecord(), &record)
	if err != nil || !found {
		return err
	}
	var clusters v1beta1.ManagedClusterList
	if err := u.cluster.List(ctx, &clusters); err != nil {
		return fmt.Errorf("list the restored clusters: %w", err)
	}
	var deleted v1beta1.DeletedClusterList
	if err := u.cluster.List(ctx, &deleted); err != nil {
		return fmt.Errorf("list the restored deleted clusters: %w", err)
	}
	known := make([]string, 0, len(clusters.Items)+len(deleted.Items))
	for _, cluster := range clusters.Items {
		known = append(known, cluster.Spec.ID)
	}
	for _, one := range deleted.Items {
		known = append(known, one.Name) // to be recovered
	}
	if err := forget(u.paths.restoreRecord()); err != nil {
		return err
	}
	point := "an unknown time"
	if record.Point != nil {
		point = record.Point.UTC().Format(time.RFC3339)
	}
	u.step("Berth is as it was at %s; clusters that come back from their own backups now: %d", point, len(clusters.Items))
	u.say("         A cluster that was deleted after that is back too; one that was made after that is not known.")
	u.strangers(ctx, record.Store, known)
	return nil
}

// remake makes the directory of a volume of this machine's, as its provisioner does.
func (u *upper) remake(v *corev1.PersistentVolume) error {
	if v.Spec.Local == nil || v.DeletionTimestamp != nil || filepath.Dir(v.Spec.Local.Path) != volume.DefaultDir {
		return nil
	}
	path := filepath.Join(u.paths.machine("volumes"), filepath.Base(v.Spec.Local.Path))
	err := os.Mkdir(path, 0o777)
	if err == nil || errors.Is(err, fs.ErrExist) { // or one who made it died here
		err = os.Chmod(path, 0o777) // past the umask: pods run as any user
	}
	if err != nil {
		return fmt.Errorf("make volume %s again: %w", v.Name, err)
	}
	return nil
}

// strangers names the clusters of which there are backups and nothing else. Nothing is
// done about them: they may have been made after the backup that was restored.
func (u *upper) strangers(ctx context.Context, store string, known []string) {
	if u.Restore != "" {
		store = u.Restore
	}
	parts, err := backup.Parts(ctx, store)
	if err != nil {
		u.step("clusters that this Berth does not know could not be looked for: %v", err)
		return
	}
	parts = slices.DeleteFunc(parts, func(part string) bool {
		return isManagement(part) || slices.Contains(known, part)
	})
	if len(parts) > 0 {
		u.step("%s has backups of clusters that this Berth does not know, and they stay: %s", backup.Redact(store), strings.Join(parts, ", "))
	}
}

// copyBackups brings the backups of one directory into another, and leaves alone what is
// there already. On one file system they are linked: a backup never changes.
func copyBackups(ctx context.Context, from, to string) (copied int, size int64, err error) {
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !entry.Type().IsRegular() || !strings.HasSuffix(name, ".zst.age") {
			return nil
		}
		if _, err := os.Stat(target); err == nil {
			return nil
		}
		written, err := copyFile(path, target)
		copied, size = copied+1, size+written
		return err
	})
	if err != nil {
		return copied, size, fmt.Errorf("copy the backups: %w", err)
	}
	return copied, size, nil
}

// copyFile links a file, or copies it where it cannot be linked. Its name is given when
// all of it is on the disk.
func copyFile(from, to string) (int64, error) {
	if err := os.Link(from, to); err == nil {
		return 0, nil
	}
	source, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	part, err := os.CreateTemp(filepath.Dir(to), "copy-*.tmp")
	if err != nil {
		return 0, err
	}
	defer os.Remove(part.Name())
	size, err := io.Copy(part, source)
	if err := errors.Join(err, part.Sync(), part.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(part.Name(), to)
}

// sameFile says whether two paths lead to one directory.
func sameFile(a, b string) (bool, error) {
	first, err := os.Stat(a)
	if err != nil {
		return false, fmt.Errorf("look at the store: %w", err)
	}
	second, err := os.Stat(b)
	if err != nil {
		return false, fmt.Errorf("look at the store: %w", err)
	}
	return os.SameFile(first, second), nil
}
