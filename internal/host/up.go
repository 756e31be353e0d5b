package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// UpOptions are what `berth up` is told.
type UpOptions struct {
	StateDir string
	// BuildDir has the artifacts of `berth build`.
	BuildDir string
	// Locations that clusters can be in; none keeps what was set before.
	Locations []string
	// Restore is the URL of a store: Berth's own state is restored from there before it
	// comes up. RecoveryKey is a file; empty means the one in the state directory.
	Restore, RecoveryKey string
	// Demo makes a first cluster and runs a workload in it.
	Demo bool
	// Out gets a line for each step.
	Out io.Writer
}

const (
	supervisorPatience = 20 * time.Second
	apiServerPatience  = 5 * time.Minute
	nodePatience       = 3 * time.Minute
	rolloutPatience    = 5 * time.Minute
)

// Up brings Berth up and returns when it answers. It can be called again at any
// time and goes on from wherever an earlier call, a crash or a restart of the
// host has left off.
func Up(ctx context.Context, options UpOptions) error {
	// What the client library wants to say is said by the errors that it returns.
	log.SetLogger(logr.Discard())
	u := upper{UpOptions: options, progress: newProgress(options.Out)}
	var err error
	if u.paths, err = NewPaths(options.StateDir); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	if err := u.find(options.BuildDir); err != nil {
		return err
	}
	held, err := u.claim()
	if err != nil {
		return err
	}
	defer held.Close()
	if u.Restore != "" {
		if err := u.restoreState(ctx); err != nil {
			return err
		}
	}
	if err := checkRestored(u.paths); err != nil {
		return err
	}
	return u.run(ctx)
}

// find reads the build, which has to have all that clusters are made of.
func (u *upper) find(dir string) (err error) {
	if u.artifacts, err = FindArtifacts(dir); err != nil {
		return err
	}
	return u.artifacts.checkComponents()
}

// claim makes the state directory, and keeps others out of it and what the build has in the
// build: what the build offers is read when it is known who comes up from it.
func (u *upper) claim() (held *os.File, err error) {
	if err := u.paths.create(); err != nil {
		return nil, err
	}
	if held, err = lockCommand(u.paths); err != nil {
		return nil, err
	}
	err = noteStateDir(u.artifacts.Dir, u.paths)
	if err == nil {
		err = u.find(u.artifacts.Dir)
	}
	if err != nil {
		held.Close()
		return nil, err
	}
	return held, nil
}

// lockCommand keeps a second up or down out.
func lockCommand(paths Paths) (*os.File, error) {
	held, err := lock(paths.commandLock())
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another \"berth up\" or \"berth down\" works on %s: wait for it or end it", paths.State)
	}
	return held, err
}

type upper struct {
	UpOptions
	progress
	paths     Paths
	artifacts Artifacts
	instance  Instance
	keys      berthKeys
	// publicKey seals the backups of Berth's own state. Its secret half was drawn now if
	// keyDrawn says so.
	publicKey string
	keyDrawn  bool
	cluster   *cluster
	// images ends when the registry has its images.
	images errgroup.Group
}

func (u *upper) run(ctx context.Context) error {
	if err := u.retire(ctx); err != nil {
		return err
	}
	steps := []func(context.Context) error{u.prepare, u.fillRegistry, u.start, u.connect, u.revive, u.installCluster, u.installBerth, u.seed, u.account, u.tellMissing}
	if u.Demo {
		steps = append(steps, u.demo)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	u.next()
	return nil
}

// retire ends a machine that was made of another build than the one at hand:
// it does not have the images that are about to be asked of it.
func (u *upper) retire(ctx context.Context) error {
	record := runningSupervisor(u.paths)
	if record == nil {
		return nil
	}
	fingerprint, err := u.artifacts.Fingerprint()
	if err != nil {
		return err
	}
	if record.Fingerprint == fingerprint {
		u.step("the management machine is up already")
		return nil
	}
	u.step("the build has changed since the management machine was started")
	return endSupervisor(ctx, u.paths, u.progress)
}

// prepare makes everything that is made once, and writes what a machine reads.
func (u *upper) prepare(ctx context.Context) error {
	now := time.Now()
	if runningSupervisor(u.paths) == nil {
		all, err := hierarchies()
		if err != nil {
			return err
		}
		// What a killed supervisor left behind would look like somebody else's.
		if err := giveBack(u.paths, all); err != nil {
			return err
		}
		if err := preflight(ctx, u.paths, now); err != nil {
			return err
		}
		u.step("this host has what Berth needs")
	}
	var err error
	if u.instance, err = ensureInstance(u.paths, u.Locations, now); err != nil {
		return err
	}
	if err := kubernetesKeys(u.paths, now); err != nil {
		return err
	}
	if u.keys, err = ensureBerthKeys(u.paths, now); err != nil {
		return err
	}
	if u.publicKey, u.keyDrawn, err = ensureRecoveryKey(u.paths, now); err != nil {
		return err
	}
	if err := writeBundle(u.paths, u.keys.CA); err != nil {
		return err
	}
	return writeMachine(u.paths, u.artifacts.Catalogue, u.keys.CA)
}

// start starts the supervisor unless it runs, and waits until it has begun its
// work. It outlives this process.
func (u *upper) start(ctx context.Context) error {
	if runningSupervisor(u.paths) != nil {
		return nil
	}
	u.step("starting the management machine (Kubernetes %s)", u.artifacts.Catalogue.DefaultRelease().Version)
	output, err := openLog(u.paths.log("supervisor.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	command := exec.Command("/proc/self/exe", "host", "run", "--state-dir", u.paths.State, "--build-dir", u.artifacts.Dir)
	command.Dir = "/"
	command.Stdout, command.Stderr = output, output
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	return pollContext(ctx, supervisorPatience, func(context.Context) (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("the supervisor ended: %w\n%s", err, tail(u.paths.log("supervisor.log")))
		default:
			return runningSupervisor(u.paths) != nil, nil
		}
	})
}

// connect waits for the API server and the node.
func (u *upper) connect(ctx context.Context) error {
	var err error
	if u.cluster, err = dial(u.paths); err != nil {
		return err
	}
	if err := await(ctx, "the management API server", apiServerPatience, u.answering); err != nil {
		return u.explain(err)
	}
	u.step("the management API server answers")
	return nil
}

func (u *upper) answering(ctx context.Context) (string, error) {
	if runningSupervisor(u.paths) == nil {
		return "", fatalError{errors.New("the supervisor has ended")}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return "", u.cluster.readyz(ctx)
}

// explain adds to an error where to look further.
func (u *upper) explain(err error) error {
	return fmt.Errorf("%w\n%s\n%s\nmore in %s and %s", err,
		tail(u.paths.log("supervisor.log")), tail(u.paths.log("machine.log")), filepath.Join(u.paths.State, "logs"), u.paths.machine("log"))
}

// runningSupervisor returns the record of the supervisor that runs now, or nil.
func runningSupervisor(paths Paths) *supervisorRecord {
	var record supervisorRecord
	found, err := readJSON(paths.supervisorRecord(), &record)
	if err != nil || !found || !record.Process.alive() {
		return nil
	}
	return &record
}

// tail is the last lines of a log.
func tail(path string) string {
	const most = 4 << 10
	const lines = 12
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	raw, _ := io.ReadAll(io.LimitReader(file, most))
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "  | " + strings.Join(all[max(0, len(all)-lines):], "\n  | ")
}
