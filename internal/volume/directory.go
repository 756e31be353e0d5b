package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tombstone is the prefix of a directory that is being deleted.
const tombstone = ".deleting-"

// directories are the volumes' directories below one root, which every operation stays within.
type directories struct {
	path string
	root *os.Root
}

// openDirectories makes the root if it must. Only root may enter it: the directories in it are open to all, since their
// pods run as any user.
func openDirectories(path string) (*directories, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("volume directory %q: must be absolute", path)
	}
	path = filepath.Clean(path)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make volume directory: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open volume directory: %w", err)
	}
	return &directories{path, root}, nil
}

func (d *directories) close() error { return d.root.Close() }

// pathOf is the absolute path of a volume's directory.
func (d *directories) pathOf(name string) string { return filepath.Join(d.path, name) }

// make makes a volume's directory; one that is there is kept with its content.
func (d *directories) make(name string) error {
	if !validName(name) {
		return fmt.Errorf("make volume %q: not a volume's name", name)
	}
	if err := d.root.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make volume: %w", err)
	}
	info, err := d.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", name)
	}
	if err == nil {
		// Past the umask.
		err = d.root.Chmod(name, 0o777)
	}
	if err != nil {
		return fmt.Errorf("make volume: %w", err)
	}
	return nil
}

// discard takes a volume's directory away at once; clean empties it. A directory that is gone already is no error.
func (d *directories) discard(name string) error {
	if !validName(name) {
		return fmt.Errorf("discard volume %q: not a volume's name", name)
	}
	err := d.root.Rename(name, tombstone+name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("discard volume: %w", err)
	}
	return nil
}

// removeEmpty removes a volume's directory if nothing is in it.
func (d *directories) removeEmpty(name string) error {
	if !validName(name) {
		return fmt.Errorf("remove volume %q: not a volume's name", name)
	}
	err := unix.Rmdir(d.pathOf(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove empty volume %s: %w", name, err)
	}
	return nil
}

// list returns the names of the volumes' directories.
func (d *directories) list() ([]string, error) { return d.find("") }

// clean deletes what discard has taken away, also in an earlier run.
func (d *directories) clean() error {
	names, err := d.find(tombstone)
	errs := []error{err}
	for _, name := range names {
		if err := d.root.RemoveAll(tombstone + name); err != nil {
			errs = append(errs, fmt.Errorf("delete volume %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (d *directories) find(prefix string) ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("list volume directory: %w", err)
	}
	var out []string
	for _, entry := range entries {
		name, found := strings.CutPrefix(entry.Name(), prefix)
		if found && entry.IsDir() && validName(name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// free returns the bytes that are free below the root.
func (d *directories) free() (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(d.path, &stat); err != nil {
		return 0, fmt.Errorf("look at free space: %w", err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}
