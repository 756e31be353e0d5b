package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// bakedStore makes a baked root of two snapshots and a store beside it whose binds are only noted.
func bakedStore(t *testing.T, canBind bool) (store, *[]string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"id": "build-1\n", "bind.txt": "snap/1\nsnap/2\n", "images.txt": "x\n",
		"root/meta.db": "db", "root/snap/1/fs/a": "a", "root/snap/2/fs/b": "b", "root/content/blob": "c",
	} {
		if err := writeFile(filepath.Join(dir, "baked", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var binds []string
	s := store{baked: filepath.Join(dir, "baked"), root: filepath.Join(dir, "containerd"),
		canBind: func(lower, scratch string) bool {
			if !strings.HasSuffix(lower, "/baked/root/snap/1/fs") || scratch != filepath.Join(dir, "containerd") {
				t.Errorf("tried %s in %s", lower, scratch)
			}
			return canBind
		},
		bind: func(source, target string) error {
			if _, err := os.Stat(target); err != nil {
				t.Errorf("bound on nothing: %v", err)
			}
			binds = append(binds, filepath.Base(source)+">"+filepath.Base(target))
			return nil
		}}
	return s, &binds
}

func TestBakedStoreIsBoundAndSurvivesARestart(t *testing.T) {
	s, binds := bakedStore(t, true)
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1>1", "2>2"}; !slices.Equal(*binds, want) {
		t.Errorf("bound %v, want %v", *binds, want)
	}
	if got := readFile(t, s.root+"/meta.db") + readFile(t, s.root+"/content/blob"); got != "dbc" {
		t.Errorf("copied %q", got)
	}
	for _, absent := range []string{"snap/1/fs", "bind.txt", "id", "images.txt"} {
		if _, err := os.Stat(filepath.Join(s.root, absent)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was copied", absent)
		}
	}

	// What containerd wrote meanwhile is kept by the next boot, which binds again.
	if err := os.WriteFile(s.root+"/meta.db", []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, s.root+"/meta.db"); got != "changed" || len(*binds) != 4 {
		t.Errorf("after a restart: %q, %v", got, *binds)
	}

	// Another build's metadata would name snapshots that are not there.
	for path, content := range map[string]string{s.baked + "/id": "build-2", s.root + "/pulled": "x"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.root + "/pulled"); readFile(t, s.root+"/meta.db") != "db" || err == nil {
		t.Error("the store of another build was kept")
	}
}

func TestBakedStoreIsCopiedWhereItCannotBeBound(t *testing.T) {
	s, binds := bakedStore(t, false)
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, s.root+"/snap/1/fs/a") + readFile(t, s.root+"/snap/2/fs/b"); got != "ab" || len(*binds) != 0 {
		t.Errorf("got %q and binds %v", got, *binds)
	}
}

func TestAnInterruptedStoreIsMadeAnew(t *testing.T) {
	s, _ := bakedStore(t, true)
	// A crash in the middle of copying leaves files and no marker.
	if err := writeFile(s.root+"/meta.db", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, s.root+"/meta.db"); got != "db" {
		t.Errorf("got %q", got)
	}
}

func TestAnImageWithoutBakedRootIsFine(t *testing.T) {
	dir := t.TempDir()
	if err := (store{baked: dir + "/none", root: dir + "/containerd"}).prepare(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/containerd"); err != nil {
		t.Error(err)
	}
}

func TestBindListStaysInside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bind.txt")
	for text, good := range map[string]bool{"a/b\n\nc\n": true, "../x\n": false, "/etc\n": false, ".\n": false} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readBindList(path); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCopyTreeKeepsWhatFileSystemsAreMadeOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners and devices")
	}
	source, target := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(writeFile(source+"/dir/file", []byte("content"), 0o644))
	must(os.Chown(source+"/dir/file", 12, 34))
	must(syscall.Chmod(source+"/dir/file", 0o4751))
	must(unix.UtimesNanoAt(unix.AT_FDCWD, source+"/dir/file", []unix.Timespec{{Sec: 5}, {Sec: 1234, Nsec: 5}}, 0))
	must(os.Link(source+"/dir/file", source+"/dir/second"))
	must(os.Symlink("nowhere", source+"/link"))
	must(syscall.Mknod(source+"/whiteout", syscall.S_IFCHR, 0))
	must(os.Mkdir(source+"/skipped", 0o755))
	must(syscall.Chmod(source+"/dir", 0o1777))
	attributes := unix.Lsetxattr(source+"/dir", "trusted.overlay.opaque", []byte("y"), 0) == nil

	must(copyTree(source, target, map[string]bool{"skipped": true}))
	var file, second, whiteout, dir syscall.Stat_t
	must(syscall.Lstat(target+"/dir/file", &file))
	must(syscall.Lstat(target+"/dir/second", &second))
	must(syscall.Lstat(target+"/whiteout", &whiteout))
	must(syscall.Lstat(target+"/dir", &dir))
	if file.Uid != 12 || file.Gid != 34 || file.Mode&0o7777 != 0o4751 || file.Mtim.Sec != 1234 || file.Mtim.Nsec != 5 {
		t.Errorf("file is %+v", file)
	}
	if file.Ino != second.Ino {
		t.Error("two names became two files")
	}
	if whiteout.Mode&syscall.S_IFMT != syscall.S_IFCHR || whiteout.Rdev != 0 {
		t.Errorf("whiteout is %+v", whiteout)
	}
	if dir.Mode&0o7777 != 0o1777 || readFile(t, target+"/dir/file") != "content" {
		t.Errorf("directory is %o", dir.Mode)
	}
	if to, err := os.Readlink(target + "/link"); err != nil || to != "nowhere" {
		t.Errorf("link: %q, %v", to, err)
	}
	if _, err := os.Stat(target + "/skipped"); err == nil {
		t.Error("skipped was copied")
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(target+"/dir", "trusted.overlay.opaque", value); attributes && (err != nil || string(value[:n]) != "y") {
		t.Errorf("attribute: %q, %v", value[:n], err)
	}
}
