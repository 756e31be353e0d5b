package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// isSource tells which files of a directory decide what it builds into.
func isSource(name string) bool {
	switch filepath.Ext(name) {
	case ".go":
		return !strings.HasSuffix(name, "_test.go")
	case ".c", ".h", ".s", ".mod", ".sum":
		return true
	}
	return false
}

// writeFile replaces a file as a whole: readers see the old or the new one.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Chmod(0o644), temporary.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temporary.Name(), path)
}

// inode is a file's identity, which hard links share.
type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) inode {
	stat := info.Sys().(*syscall.Stat_t)
	return inode{device: stat.Dev, number: stat.Ino}
}

// linkTree puts everything of directory from below directory to, files as hard
// links and directories with their owners and modes. Directories may be there
// already; files may not.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if !info.IsDir() {
			return os.Link(path, target)
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		// Chown clears the set-group-id bit, so that the mode comes second.
		if err := os.Chown(target, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
		return os.Chmod(target, info.Mode())
	})
}

// linkFile puts a hard link to a file into a tree, with its parent directories.
// Where the file lies on another file system it is copied.
func linkFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err := os.Link(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
