package node

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// imageDirs are the directories of a node's image that nothing writes to once the machine
// has booted, but for what ownDirs names.
var imageDirs = []string{"/usr", "/etc", "/opt", "/boot"}

// ownDirs are what others than a script write to after the boot, so that a change there
// tells nothing: the network agent its configuration at each of its starts, the SSH server
// its host keys at the first login, the management cluster's kubelet the files that it
// mounts into the machine. What a boot writes once is compared: the configuration of
// containerd and of the kubelet.
var ownDirs = []string{"/etc/cni", "/etc/dropbear", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", filepath.Dir(DefaultConfigPath)}

// maxChanged is how many changed files are named.
const maxChanged = 20

// mark tells one state of a file from another, without reading it. Inodes and the times
// of inodes are no part of it: an overlay gives a file others that is only opened.
type mark struct {
	Mode         fs.FileMode
	Size         int64
	Modified     syscall.Timespec
	Owner, Group uint32
}

// inventory has the marks of files by their paths.
type inventory map[string]mark

// takeInventory looks at every file below some directories. A file that cannot be looked
// at is not there. What is mounted below is not the image's.
func takeInventory(dirs []string) inventory {
	found := inventory{}
	for _, dir := range dirs {
		var device uint64
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // one that has gone meanwhile is not there
			}
			if slices.Contains(ownDirs, path) {
				return skip(entry)
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return nil
			}
			switch {
			case path == dir:
				device = stat.Dev
			case entry.IsDir() && stat.Dev != device:
				return fs.SkipDir
			}
			if !entry.IsDir() {
				found[path] = mark{info.Mode(), info.Size(), stat.Mtim, stat.Uid, stat.Gid}
			}
			return nil
		})
	}
	return found
}

func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// changed are the paths that are not in another inventory as they are in this one, in
// order: changed, new or gone.
func (i inventory) changed(later inventory) []string {
	var paths []string
	for path, before := range i {
		if after, there := later[path]; !there || after != before {
			paths = append(paths, path)
		}
	}
	for path := range maps.Keys(later) {
		if _, there := i[path]; !there {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, strings.Compare)
	return paths
}
