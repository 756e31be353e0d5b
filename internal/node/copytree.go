package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// copyTree copies everything below source to target with modes, owners, times, links, devices and extended
// attributes: file systems of containers mean something by each of these. Paths in skip, relative to source, are left
// out with all below them.
func copyTree(source, target string, skip map[string]bool) error {
	c := treeCopy{linked: map[inode]string{}}
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if skip[relative] {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if err := c.copyOne(path, filepath.Join(target, relative)); err != nil {
			return fmt.Errorf("copy %s: %w", path, err)
		}
		return nil
	})
}

type inode struct{ device, number uint64 }

type treeCopy struct {
	// linked are the copies of files that have several names.
	linked map[inode]string
}

func (c *treeCopy) copyOne(source, target string) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(source, &st); err != nil {
		return err
	}
	kind := st.Mode & syscall.S_IFMT
	if kind != syscall.S_IFDIR && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, copied := c.linked[id]; copied {
			return os.Link(first, target)
		}
		c.linked[id] = target
	}
	if err := create(source, target, &st); err != nil {
		return err
	}
	if err := os.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := copyAttributes(source, target); err != nil {
		return err
	}
	if kind == syscall.S_IFLNK {
		return nil
	}
	// After the owner, since changing that clears set-user-id.
	if err := syscall.Chmod(target, st.Mode&0o7777); err != nil {
		return err
	}
	if kind == syscall.S_IFDIR {
		return nil
	}
	times := []unix.Timespec{{Sec: st.Atim.Sec, Nsec: st.Atim.Nsec}, {Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, target, times, unix.AT_SYMLINK_NOFOLLOW)
}

func create(source, target string, st *syscall.Stat_t) error {
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		err := os.Mkdir(target, 0o700)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	case syscall.S_IFLNK:
		to, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return os.Symlink(to, target)
	case syscall.S_IFREG:
		return copyContent(source, target)
	case syscall.S_IFSOCK:
		return nil
	default:
		return syscall.Mknod(target, st.Mode, int(st.Rdev))
	}
}

func copyContent(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func copyAttributes(source, target string) error {
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(source, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	for _, name := range strings.Split(strings.Trim(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(source, name, value)
		if err != nil {
			return fmt.Errorf("read attribute %s: %w", name, err)
		}
		if err := unix.Lsetxattr(target, name, value[:n], 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}
