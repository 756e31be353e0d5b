package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// swap puts a directory into the place of another one, which goes aside. It can be
// repeated after a death in its middle: what is aside is removed only for what takes
// its place.
func swap(fresh, dir, aside string) error {
	if _, err := os.Stat(dir); err == nil {
		if err := os.RemoveAll(aside); err != nil {
			return fmt.Errorf("remove the data that was set aside before: %w", err)
		}
		if err := os.Rename(dir, aside); err != nil {
			return fmt.Errorf("set the data aside: %w", err)
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("put the restored data in place: %w", err)
	}
	return syncDir(filepath.Dir(dir))
}

// freeBytes says how much can be written to the file system of a directory.
func freeBytes(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	return int64(disk.Bavail) * disk.Bsize, nil
}

// usedBytes says how much there is to gain from the removal of a directory. What
// cannot be read counts as nothing.
func usedBytes(dir string) int64 {
	used := int64(0)
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var status syscall.Stat_t
		if err == nil && syscall.Lstat(path, &status) == nil {
			used += status.Blocks * 512
		}
		return nil
	})
	return used
}

// writeNote replaces a small file in one step.
func writeNote(path, text string) error {
	file, err := os.Create(path + ".part")
	if err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	return syncDir(filepath.Dir(path))
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
