package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// bakedDir is where a node image keeps a containerd root with the system's images in it (see package image).
	bakedDir = "/var/lib/berth/baked"
	// bakedRoot is the containerd root in it; bakedID tells one from another.
	bakedRoot, bakedID = "root", "id"
	// bindList names the snapshots below bakedRoot that are shown in place instead of copied, one a line.
	bindList       = "bind.txt"
	containerdRoot = "/var/lib/containerd"
	// bakedMarker, in containerdRoot, names the baked root that it was made from.
	bakedMarker = ".berth-baked"
)

// store is a containerd root made from a baked one.
type store struct {
	baked, root string
	// bind shows a baked directory at a place in root.
	bind func(source, target string) error
	// canBind says whether containers can run on a baked directory where it lies.
	canBind func(baked, scratch string) bool
}

// prepare makes root from baked, unless root was made from the same one at an earlier boot: then only what does not
// outlive a boot, the binds, is done again. A root made from another one is emptied first: it is a cache.
func (s store) prepare() error {
	if err := os.MkdirAll(s.root, 0o711); err != nil {
		return fmt.Errorf("make containerd's root: %w", err)
	}
	dirs, err := readBindList(filepath.Join(s.baked, bindList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := os.ReadFile(filepath.Join(s.baked, bakedID))
	if err != nil {
		return fmt.Errorf("read the id of the baked root: %w", err)
	}
	bind := len(dirs) > 0 && s.canBind(filepath.Join(s.baked, bakedRoot, dirs[0], "fs"), s.root)
	want := fmt.Sprintf("%s bind=%t\n", bytes.TrimSpace(id), bind)
	marker := filepath.Join(s.root, bakedMarker)
	if have, err := os.ReadFile(marker); err != nil || string(have) != want {
		if err := s.copyBaked(dirs, bind); err != nil {
			return err
		}
		if err := os.WriteFile(marker, []byte(want), 0o644); err != nil {
			return fmt.Errorf("note what containerd's root was made from: %w", err)
		}
	}
	if !bind {
		return nil
	}
	for _, dir := range dirs {
		if err := s.bind(filepath.Join(s.baked, bakedRoot, dir), filepath.Join(s.root, dir)); err != nil {
			return fmt.Errorf("show baked %s: %w", dir, err)
		}
	}
	return nil
}

// copyBaked empties root and copies the baked one into it, with empty directories for those to be bound.
func (s store) copyBaked(dirs []string, bind bool) error {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return fmt.Errorf("empty containerd's root: %w", err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(s.root, entry.Name())); err != nil {
			return fmt.Errorf("empty containerd's root: %w", err)
		}
	}
	skip := map[string]bool{}
	if bind {
		for _, dir := range dirs {
			skip[dir] = true
		}
	}
	if err := copyTree(filepath.Join(s.baked, bakedRoot), s.root, skip); err != nil {
		return err
	}
	if !bind {
		return nil
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o711); err != nil {
			return fmt.Errorf("make a place for baked %s: %w", dir, err)
		}
	}
	return nil
}

func readBindList(path string) ([]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of baked directories: %w", err)
	}
	var dirs []string
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		dir := filepath.Clean(lines.Text())
		if lines.Text() == "" {
			continue
		}
		if !filepath.IsLocal(dir) || dir == "." {
			return nil, fmt.Errorf("%s names %q, want a path below it", path, lines.Text())
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// overlayWorksOn mounts an overlay on dir as a container would. The kernel refuses a third overlay on top of two, which
// is where a machine on such a host would come to.
func overlayWorksOn(dir, scratch string) bool {
	probe, err := os.MkdirTemp(scratch, ".probe-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(probe)
	paths := map[string]string{}
	for _, name := range []string{"upper", "work", "merged"} {
		paths[name] = filepath.Join(probe, name)
		if err := os.Mkdir(paths[name], 0o700); err != nil {
			return false
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, paths["upper"], paths["work"])
	if err := unix.Mount("overlay", paths["merged"], "overlay", 0, options); err != nil {
		return false
	}
	return unix.Unmount(paths["merged"], unix.MNT_DETACH) == nil
}

func (m *machine) prepareStore() error {
	if err := unmountBelow(containerdRoot, false); err != nil {
		return err
	}
	return store{baked: bakedDir, root: containerdRoot, bind: bindReadOnly, canBind: overlayWorksOn}.prepare()
}
