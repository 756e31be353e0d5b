package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// script is a machine.Command as it comes into the machine.
type script struct {
	Script      string        `json:"script"`
	Arguments   []string      `json:"arguments"`
	Environment []string      `json:"environment"`
	Timeout     time.Duration `json:"timeout"`
	Limit       int           `json:"limit"`
	Name        string        `json:"name"`
	Settle      bool          `json:"settle"`
}

// outcome is a machine.Result as it leaves the machine.
type outcome struct {
	ExitCode     int      `json:"exitCode"`
	Stdout       string   `json:"stdout,omitempty"`
	Stderr       string   `json:"stderr,omitempty"`
	Changed      []string `json:"changed,omitempty"`
	ChangedCount int32    `json:"changedCount,omitempty"`
	NotRun       string   `json:"notRun,omitempty"`
}

// notRun is the exit code of a script that was not run and can be later (EX_TEMPFAIL of
// sysexits.h), for those who do not know more.
const notRun = 75

// killed is the exit code of a script that took too long, as a shell has it.
const killed = 128 + int(syscall.SIGKILL)

// NewRunCommand is `berth-node run-command`: it runs a script where a machine's init
// runs, and tells what came of it and which files of the image it changed (G2).
func NewRunCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run-command", Short: "Run a script that is read from standard input, in the machine", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var asked script
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&asked); err != nil {
				return fmt.Errorf("read the script: %w", err)
			}
			// Namespaces belong to a thread; what it starts has them too.
			runtime.LockOSThread()
			if err := joinInit(); err != nil {
				return err
			}
			if err := awaitBoot(cmd.Context(), bootedMark, initStat, bootWithin); err != nil {
				return err
			}
			if known, told := ended(keptDir, asked); told {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(known)
			}
			result, err := beside(cmd.Context(), asked, filesLock, scriptPatience)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		},
	}
}

// beside runs or settles a script when the machine does not change its own files, for which
// it waits so long and no longer.
func beside(ctx context.Context, asked script, lock string, within time.Duration) (outcome, error) {
	release, err := holdFiles(ctx, lock, false, within)
	if errors.Is(err, errHeld) && !asked.Settle && ctx.Err() == nil {
		why := fmt.Sprintf("the node installs patches of its operating system, for which the script waited %s", within)
		return outcome{ExitCode: notRun, Stderr: why, NotRun: why}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	defer release()
	do := runScript
	if asked.Settle {
		do = settle
	}
	return do(ctx, asked, places{image: imageDirs, kept: keptDir})
}

// joinInit enters the mount namespace of PID 1, whose mounts are the machine's.
func joinInit() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the file system of other threads: %w", err)
	}
	namespace, err := os.Open("/proc/1/ns/mnt")
	if err != nil {
		return fmt.Errorf("find the machine's mounts: %w", err)
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the machine's mounts: %w", err)
	}
	return nil
}

// places are where a script's traces are looked for, and where the state before it is kept.
type places struct {
	image []string
	kept  string
}

// runScript runs a script to its end, which is the end of all that it started too, and
// compares the image's files before and after.
func runScript(ctx context.Context, asked script, at places) (outcome, error) {
	own, err := claim(at.kept, asked.Name)
	if err != nil {
		return outcome{}, err
	}
	dir, err := os.MkdirTemp("/run", "run-command-")
	if err != nil {
		return outcome{}, fmt.Errorf("keep the script: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "script.sh")
	if err := os.WriteFile(path, []byte(asked.Script), 0o700); err != nil {
		return outcome{}, fmt.Errorf("keep the script: %w", err)
	}
	if err := adopt(); err != nil {
		return outcome{}, err
	}
	before, others := takeInventory(at.image), children()
	own.Begun, own.Before = true, before
	if err := keep(at.kept, asked.Name, own); err != nil {
		return outcome{}, err
	}
	result, err := execute(ctx, asked, path, others)
	endLeftovers(others)
	if err != nil {
		return outcome{}, err
	}
	result.Changed, result.ChangedCount = summary(before.changed(takeInventory(at.image)))
	return result, finish(at.kept, asked.Name, result)
}

// summary are the first of some paths, and how many there are.
func summary(changed []string) (first []string, count int32) {
	return changed[:min(len(changed), maxChanged)], int32(len(changed))
}

func execute(ctx context.Context, asked script, path string, others map[int]bool) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, asked.Timeout)
	defer cancel()
	stdout, stderr := &tail{limit: asked.Limit}, &tail{limit: asked.Limit}
	command := exec.CommandContext(ctx, "/bin/sh", append([]string{path}, asked.Arguments...)...)
	command.Dir, command.Stdout, command.Stderr = "/", stdout, stderr
	command.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, asked.Environment...)
	if asked.Name != "" {
		command.Env = append(command.Env, nameVariable+"="+asked.Name)
	}
	// One that takes too long ends with its group, and what is left of any by endLeftovers.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	err := command.Start()
	if err == nil {
		stop := reapAdopted(command.Process.Pid, others)
		err = command.Wait()
		stop()
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // nobody is left, mostly
	}
	result := outcome{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		result.ExitCode = killed
		result.Stderr += fmt.Sprintf("\nthe script was ended after %s", asked.Timeout)
	case errors.As(err, &exit):
		result.ExitCode = exit.ExitCode()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return outcome{}, fmt.Errorf("start the script: %w", err)
	}
	return result, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	kept  []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(text []byte) (int, error) {
	t.kept = append(t.kept, text...)
	t.kept = append([]byte(nil), t.kept[max(0, len(t.kept)-t.limit):]...)
	return len(text), nil
}

func (t *tail) String() string { return string(t.kept) }
