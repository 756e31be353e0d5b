package image

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// oldDir is where replaced directories wait until no machine stands on them.
func oldDir(build string) string { return filepath.Join(build, ".cache", "old") }

// sweep removes the directories that builds replaced, unless a mount of any
// process is of this build: the root file system of a running machine is.
func sweep(build, proc string) error {
	used, err := mounted(build, proc)
	if err != nil {
		return fmt.Errorf("look who uses %s: %w", build, err)
	}
	if !used {
		if err := os.RemoveAll(oldDir(build)); err != nil {
			return fmt.Errorf("remove replaced directories: %w", err)
		}
	}
	return os.MkdirAll(oldDir(build), 0o755)
}

// mounted tells whether any mount of any process names a directory below dir.
// It compares by the last two elements of dir, since a mount's source is told
// relative to its file system; to be wrong by that only keeps a directory longer.
func mounted(dir, proc string) (bool, error) {
	name := filepath.Join("/", filepath.Base(filepath.Dir(dir)), filepath.Base(dir)) + "/"
	tables, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "mountinfo"))
	if err != nil {
		return false, err
	}
	seen := map[string]bool{}
	for _, table := range tables {
		// Processes mostly share a few namespaces. One that has ended is none.
		namespace, err := os.Readlink(filepath.Join(filepath.Dir(table), "ns", "mnt"))
		if err != nil || seen[namespace] {
			continue
		}
		seen[namespace] = true
		if raw, err := os.ReadFile(table); err == nil && bytes.Contains(raw, []byte(name)) {
			return true, nil
		}
	}
	return false, nil
}
