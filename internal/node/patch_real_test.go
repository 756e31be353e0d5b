package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/node/supervise"
	"berth.dev/berth/internal/testenv"
)

// patchedRootFS is what a machine's root file system was patched to.
type patchedRootFS struct {
	// Offline is the error without any source, and Changed and Err are the patch.
	Offline, Err string
	Changed      []string
	// File is the package's, Started whether its service was started, and Init whether its
	// init script was there to be.
	File          string
	Started, Init bool
}

// patchRootFS plays a machine whose root file system is that of a node image: it patches
// itself without a source, and then from the one at scratch/repository.
func patchRootFS(rootFS, scratch string) error {
	root := filepath.Join(scratch, "root")
	overlay := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", rootFS, filepath.Join(scratch, "tmpfs/upper"), filepath.Join(scratch, "tmpfs/work"))
	steps := []func() error{
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return mount("tmpfs", filepath.Join(scratch, "tmpfs"), "tmpfs", 0, "") },
		func() error { return os.MkdirAll(filepath.Join(scratch, "tmpfs/upper"), 0o755) },
		func() error { return os.MkdirAll(filepath.Join(scratch, "tmpfs/work"), 0o755) },
		func() error { return mount("overlay", root, "overlay", 0, overlay) },
		func() error { return mount("proc", root+"/proc", "proc", 0, "") },
		func() error { return mount("/dev", root+"/dev", "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return mount("tmpfs", root+"/run", "tmpfs", 0, "") },
		func() error { return bindAt(filepath.Join(scratch, "repository"), root+"/repository") },
		func() error { return unix.Chroot(root) },
		func() error { return os.Chdir("/") },
		func() error { return (&machine{config: Config{PatchesItself: true}}).preparePatching() },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d of making the machine: %w", i, err)
		}
	}
	reaper := supervise.NewReaper()
	go reaper.Run(context.Background())
	p := newPatcher(supervise.NewLines(os.Stderr), reaper)
	var seen patchedRootFS
	if _, err := p.patch(context.Background()); err != nil {
		seen.Offline = err.Error()
	}
	if err := errors.Join(os.RemoveAll("/etc/apt/sources.list.d"), os.WriteFile("/etc/apt/sources.list", []byte("deb [trusted=yes] file:/repository ./\n"), 0o644),
		p.run(context.Background(), []string{"dpkg", "--install", "/repository/berthtool_1.0_all.deb"})); err != nil {
		return err
	}
	changed, err := p.patch(context.Background())
	if seen.Changed = changed; err != nil {
		seen.Err = err.Error()
	}
	content, _ := os.ReadFile("/usr/share/berthtool")
	_, started := os.Stat("/started")
	_, init := os.Stat("/etc/init.d/berthtool")
	seen.File, seen.Started, seen.Init = string(content), started == nil, init == nil
	return json.NewEncoder(os.Stdout).Encode(seen)
}

// TestANodeImagePatchesItself has the root file system of a node image, with its own apt,
// install a newer package, whose service is not started (AKS: nodeOSUpgradeChannel Unmanaged).
func TestANodeImagePatchesItself(t *testing.T) {
	d := newDebian(t)
	rootFS := testenv.RootFS(t)
	scratch := t.TempDir()
	if err := writeTree(scratch, map[string]string{"root/": "", "tmpfs/": ""}); err != nil {
		t.Fatal(err)
	}
	start := "#!/bin/sh\ninvoke-rc.d berthtool start"
	d.extra = map[string]string{"etc/init.d/berthtool": "#!/bin/sh\ntouch /started", "DEBIAN/postinst": start}
	d.offer("berthtool", "1.0", "old", "")
	d.offer("berthtool", "1.1", "new", "")
	if err := os.Rename(d.repository, scratch+"/repository"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.repository, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe")
	command.Env = []string{partVariable + "=patcher", "ROOTFS=" + rootFS, "SCRATCH=" + scratch}
	var log strings.Builder
	command.Stderr = &log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC}
	answer, err := command.Output()
	var seen patchedRootFS
	if err := errors.Join(err, json.Unmarshal(answer, &seen)); err != nil {
		t.Fatalf("%v: %q\n%s", err, answer, log.String())
	}
	if !strings.Contains(seen.Offline, "the lists of packages cannot be read") {
		t.Errorf("without a source: %q", seen.Offline)
	}
	if seen.Err != "" || !slices.Equal(seen.Changed, []string{"berthtool 1.0 to 1.1"}) || seen.File != "new\n" {
		t.Errorf("%+v", seen)
	}
	if seen.Started || !seen.Init {
		t.Errorf("a service of a package was started: %+v", seen)
	}
	if t.Failed() {
		t.Log(log.String())
	}
}
