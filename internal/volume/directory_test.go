package volume

import (
	"os"
	"path/filepath"
	"testing"
)

const aName = "pvc-0b5c9d5e-1f63-4d0a-9a55-3c1f0c7a5e21"

func open(t *testing.T) *directories {
	t.Helper()
	d, err := openDirectories(filepath.Join(t.TempDir(), "volumes"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	return d
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A volume's user can put anything into it, links out of it included: deleting it must not follow them.
func TestDeletingAVolumeStaysInside(t *testing.T) {
	d := open(t)
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.Mkdir(precious, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(precious, "data"), "x")
	if err := d.make(aName); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(d.pathOf(aName), "deep", "er"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(d.pathOf(aName), "deep", "link")); err != nil {
		t.Fatal(err)
	}
	if err := d.discard(aName); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.pathOf(aName)); !os.IsNotExist(err) {
		t.Errorf("a discarded volume is still there: %v", err)
	}
	if err := d.clean(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil || len(entries) != 0 {
		t.Errorf("left in the volume directory: %v %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(precious, "data")); err != nil {
		t.Errorf("a link out of the volume was followed: %v", err)
	}
}

// A volume's name that is a link out of the directory is refused, not used.
func TestVolumeMustBeADirectory(t *testing.T) {
	d := open(t)
	if err := os.Symlink(t.TempDir(), d.pathOf(aName)); err != nil {
		t.Fatal(err)
	}
	if err := d.make(aName); err == nil {
		t.Error("a link was taken for a volume")
	}
}

func TestForeignNamesAreRefused(t *testing.T) {
	d := open(t)
	outside := filepath.Join(filepath.Dir(d.path), "outside")
	write(t, outside, "x")
	for _, name := range []string{"", ".", "..", "../outside", "/etc", "lost+found", aName + "/x"} {
		if d.make(name) == nil || d.discard(name) == nil || d.removeEmpty(name) == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	for _, name := range []string{"lost+found", tombstone + "precious"} {
		if err := os.Mkdir(filepath.Join(d.path, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.clean(); err != nil {
		t.Fatal(err)
	}
	if names, err := d.list(); err != nil || len(names) != 0 {
		t.Errorf("listed as volumes: %v %v", names, err)
	}
	for _, path := range []string{outside, filepath.Join(d.path, "lost+found"), filepath.Join(d.path, tombstone+"precious")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is gone", path)
		}
	}
}

// Each step may be done again after a crash.
func TestStepsCanBeRepeated(t *testing.T) {
	d := open(t)
	for range 2 {
		if err := d.make(aName); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(d.pathOf(aName), "data"), "x")
	if err := d.make(aName); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d.pathOf(aName), "data")); err != nil {
		t.Error("making a volume again lost its data")
	}
	if err := d.removeEmpty(aName); err == nil {
		t.Error("a volume with data was removed as empty")
	}
	info, err := os.Stat(d.pathOf(aName))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("mode %v %v: a pod of any user must be able to write", info.Mode(), err)
	}
	for range 2 {
		if err := d.discard(aName); err != nil {
			t.Fatal(err)
		}
		if err := d.clean(); err != nil {
			t.Fatal(err)
		}
		if err := d.removeEmpty(aName); err != nil {
			t.Fatal(err)
		}
	}
	if free, err := d.free(); err != nil || free <= 0 {
		t.Errorf("free space: %d %v", free, err)
	}
	if _, err := openDirectories("relative"); err == nil {
		t.Error("a relative directory was accepted")
	}
}
