package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// supervisorRecord is what run/supervisor.json holds.
type supervisorRecord struct {
	Process process `json:"process"`
	// BuildDir is what the machine was made of.
	BuildDir string `json:"buildDir"`
	// Fingerprint is what was in BuildDir at that time.
	Fingerprint string    `json:"fingerprint"`
	Started     time.Time `json:"started"`
}

const (
	// machineStopPatience is how long the machine's init may take to end its pods.
	machineStopPatience = 30 * time.Second
	cgroupPatience      = 30 * time.Second
	backoffFirst        = time.Second
	backoffMost         = time.Minute
	// steadyAfter is how long a machine must have run for its next failure to count as the first.
	steadyAfter = 10 * time.Minute
)

// supervisor owns what the host lends to Berth while it is up.
type supervisor struct {
	paths       Paths
	artifacts   Artifacts
	hierarchies []hierarchy
}

// runSupervisor is `berth host run`. It returns when the context ends, and has
// then given back everything.
func runSupervisor(ctx context.Context, paths Paths, artifacts Artifacts) error {
	// The kernel kills the machine when the thread that started it ends, not the
	// process. This goroutine keeps its thread for as long as the process lives.
	runtime.LockOSThread()
	held, err := lock(paths.supervisorLock())
	if err != nil {
		return err
	}
	defer held.Close()
	self, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	all, err := hierarchies()
	if err != nil {
		return err
	}
	fingerprint, err := artifacts.Fingerprint()
	if err != nil {
		return err
	}
	record := supervisorRecord{Process: self, BuildDir: artifacts.Dir, Fingerprint: fingerprint, Started: time.Now().UTC()}
	if err := announce(paths, record); err != nil {
		return err
	}
	s := supervisor{paths: paths, artifacts: artifacts, hierarchies: all}
	err = s.run(ctx)
	return errors.Join(err, giveBack(paths, all))
}

// announce says that Berth is up. What its clusters used before may change from here on.
func announce(paths Paths, record supervisorRecord) error {
	if err := forget(paths.usageRecord()); err != nil {
		return err
	}
	return writeJSON(paths.supervisorRecord(), record)
}

func (s supervisor) run(ctx context.Context) error {
	if err := take(s.paths, s.hierarchies); err != nil {
		return err
	}
	if err := openFirewall(s.paths.Name()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range proxies() {
		listener, err := p.listen(ctx)
		if err != nil {
			return err
		}
		group.Go(func() error { return p.serve(ctx, listener) })
	}
	s.keepRunning(ctx)
	return group.Wait()
}

// keepRunning starts the machine again whenever it ends, until the context ends.
func (s supervisor) keepRunning(ctx context.Context) {
	backoff := backoffFirst
	for {
		started := time.Now()
		fitting, err := s.fitting()
		if err == nil {
			s.artifacts = fitting
			err = s.runMachine(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > steadyAfter {
			backoff = backoffFirst
		}
		slog.Error("the machine ended", "error", err, "after", time.Since(started).Round(time.Second), "again in", backoff)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, backoffMost)
	}
}

// fitting is what the machine can be made of. A build that was made since may have other images
// baked than those that the machine's static pods are of, which nobody else has while the
// machine is not up: they are written anew then. One that is on its way has to be complete.
func (s supervisor) fitting() (Artifacts, error) {
	if s.artifacts.bakes("pause", "etcd") == nil {
		return s.artifacts, nil
	}
	now, err := FindArtifacts(s.artifacts.Dir)
	if err != nil {
		return now, fmt.Errorf("the build has changed since Berth was brought up: %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(s.paths.berthPKI(), "ca.crt"))
	if err != nil {
		return now, fmt.Errorf("read Berth's authority: %w", err)
	}
	return now, writeMachine(s.paths, now.Catalogue, authority)
}

// runMachine starts the machine and waits for its end.
func (s supervisor) runMachine(ctx context.Context) error {
	if err := removeCgroups(s.hierarchies, s.paths.Name(), cgroupPatience); err != nil {
		return err
	}
	output, err := openLog(s.paths.log("machine.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer write.Close()
	command := stageCommand(ctx, read, output)
	err = command.Start()
	read.Close()
	if err != nil {
		return fmt.Errorf("start the machine: %w", err)
	}
	if err := s.release(command.Process.Pid, write); err != nil {
		_ = command.Process.Kill()
		return errors.Join(err, command.Wait())
	}
	slog.Info("the machine runs", "pid", command.Process.Pid, "root", s.artifacts.rootFS())
	return command.Wait()
}

// stageCommand is `berth host machine` in namespaces of its own. It dies with
// the calling thread. When the context ends it is asked to end, and after a
// while made to.
func stageCommand(ctx context.Context, stage, output *os.File) *exec.Cmd {
	command := exec.CommandContext(ctx, "/proc/self/exe", "host", "machine")
	command.Cancel = func() error { return command.Process.Signal(unix.SIGTERM) }
	command.WaitDelay = machineStopPatience
	command.Stdout, command.Stderr = output, output
	command.ExtraFiles = []*os.File{stage}
	// nft is run from there.
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	return command
}

// release gives the waiting first process its cgroups and its link, and then
// its stage, upon which it goes on.
func (s supervisor) release(pid int, pipe *os.File) error {
	if err := enterCgroups(s.hierarchies, s.paths.Name(), pid); err != nil {
		return err
	}
	if err := connect(s.paths.Name(), pid); err != nil {
		return err
	}
	instance, err := loadInstance(s.paths)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(s.stage(instance))
	if err != nil {
		return fmt.Errorf("encode stage: %w", err)
	}
	if _, err := pipe.Write(raw); err != nil {
		return fmt.Errorf("send stage: %w", err)
	}
	return nil
}

func (s supervisor) stage(instance Instance) stage {
	binds := append(s.paths.machineDirs(), s.artifacts.binds()...)
	if info, err := os.Stat("/lib/modules"); err == nil && info.IsDir() {
		binds = append(binds, bind{Source: "/lib/modules", Target: "/lib/modules", ReadOnly: true})
	}
	return stage{
		RootFS:      s.artifacts.rootFS(),
		Mountpoint:  s.paths.run("root"),
		Binds:       binds,
		Hierarchies: s.hierarchies,
		Hostname:    MachineName,
		Files: map[string]string{
			"/etc/hostname":    MachineName + "\n",
			"/etc/hosts":       "127.0.0.1 localhost\n::1 localhost\n" + MachineAddress + " " + MachineName + "\n",
			"/etc/machine-id":  instance.machineID() + "\n",
			"/etc/resolv.conf": resolvConf(os.ReadFile),
		},
		Command: []string{"/usr/local/bin/berth-node", "init"},
	}
}

// giveBack returns to the host everything that Berth may hold. It is for a
// moment at which no machine of this state directory runs, and does no harm
// when there is nothing to return.
func giveBack(paths Paths, all []hierarchy) error {
	return errors.Join(
		removeCgroups(all, paths.Name(), cgroupPatience),
		disconnect(paths.Name()),
		closeFirewall(paths.Name()),
		putBack(paths, all),
	)
}

const logLimit = 16 << 20

// openLog opens a log for appending. A log that has grown large is set aside
// first, replacing the one set aside before.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}
