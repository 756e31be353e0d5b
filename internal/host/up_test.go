package host

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestChangedBuildEndsTheOldMachine(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	old := start(t, u)
	machineSees(t, u.paths)
	if err := u.retire(t.Context()); err != nil || !old.alive() {
		t.Fatalf("the same build ended the machine: %v", err)
	}
	if err := os.WriteFile(filepath.Join(u.artifacts.baked(), "id"), []byte("rebuilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := u.retire(t.Context()); err != nil || old.alive() {
		t.Fatalf("the machine of the old build still runs: %v", err)
	}
	if start(t, u) == old {
		t.Error("there is no new machine")
	}
	machineSees(t, u.paths)
}

func TestUpSaysWhatKeepsItFromComingUp(t *testing.T) {
	if !isolate(t) {
		return
	}
	taken, err := net.Listen("tcp", GatewayAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	build, state := fakeBuild(t), filepath.Join(t.TempDir(), "state")
	half := fakeBuild(t)
	if err := os.WriteFile(filepath.Join(half, "baked-management", "images.txt"), []byte("pause\netcd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		user uint32
		want string
	}{
		{"no root", []string{"up", "--build-dir", build, "--state-dir", state}, 65534, "root"},
		{"nothing built", []string{"up", "--build-dir", t.TempDir(), "--state-dir", state}, 0, "make build"},
		{"a build that was interrupted", []string{"up", "--build-dir", half, "--state-dir", state}, 0, "make build"},
		{"a port that another program has", []string{"up", "--build-dir", build, "--state-dir", state}, 0, GatewayAddress + " is taken"},
		{"down without root", []string{"down", "--state-dir", state}, 65534, "root"},
	} {
		command := exec.Command("/proc/self/exe", c.args...)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.user, Gid: c.user}}
		output, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(output), c.want) {
			t.Errorf("%s: %v, %q does not say %q", c.name, err, output, c.want)
		}
	}
	if record := runningSupervisor(Paths{State: state}); record != nil {
		t.Error("a refused up left a supervisor")
	}
}

func TestSecondUpAtTheSameTimeIsRefused(t *testing.T) {
	if !isolate(t) {
		return
	}
	u := newUpper(t)
	held, err := lockCommand(u.paths)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	err = Up(t.Context(), UpOptions{StateDir: u.paths.State, BuildDir: u.artifacts.Dir, Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "another \"berth up\"") {
		t.Errorf("a second up: %v", err)
	}
}
