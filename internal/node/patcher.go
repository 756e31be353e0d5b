package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

const (
	// patchSource is what apt and dpkg say in the machine's log.
	patchSource = "patch"
	// fetchWithin bounds reading the lists and fetching packages, installWithin what changes
	// files, and scriptsWithin how long scripts may run before that.
	fetchWithin   = 30 * time.Minute
	installWithin = 30 * time.Minute
	scriptsWithin = 30 * time.Minute
	// endWithin is how long a program has to end after SIGTERM.
	endWithin = 2 * time.Second
	// saidLimit is how much of a program's words is looked at for its error.
	saidLimit = 8 << 10
)

// The steps of a patch. Configuration files that somebody changed stay, new ones are the
// packages'; nothing is removed and nothing added. A machine's root file system does not
// outlive the machine, so that nothing waits for disks.
var (
	keepConfiguration = []string{"--force-confdef", "--force-confold", "--force-unsafe-io"}
	aptGet            = slices.Concat([]string{"apt-get", "-q", "-y", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2", "-o", "DPkg::Lock::Timeout=60",
		"-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Languages=none",
		"--no-remove", "--no-install-recommends"}, dpkgOptions(keepConfiguration))
	updateLists   = append(slices.Clip(aptGet), "update")
	fetchPackages = append(slices.Clip(aptGet), "--download-only", "upgrade")
	configureAll  = slices.Concat([]string{"dpkg"}, keepConfiguration, []string{"--configure", "-a"})
	installAll    = append(slices.Clip(aptGet), "upgrade")
	forgetFetched = append(slices.Clip(aptGet), "clean")
)

func dpkgOptions(options []string) []string {
	var all []string
	for _, option := range options {
		all = append(all, "-o", "Dpkg::Options::="+option)
	}
	return all
}

// patcher installs the patches of a machine's operating system.
type patcher struct {
	reaper *supervise.Reaper
	lines  *supervise.Lines
	env    []string
	// status is dpkg's list of packages, mark says that the node has patched itself, and lock
	// keeps scripts out, whose traces are in the other places.
	status, mark, lock string
	scripts            places
}

// newPatcher is that of a machine.
func newPatcher(lines *supervise.Lines, reaper *supervise.Reaper) *patcher {
	return &patcher{
		reaper: reaper, lines: lines, env: environment(), status: dpkgStatus, mark: patchMark, lock: filesLock,
		scripts: places{image: imageDirs, kept: keptDir},
	}
}

// patch brings every installed package to the newest version that the sources have, and
// says which ones are another then: also after an error.
func (p *patcher) patch(ctx context.Context) (changed []string, err error) {
	fetching, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	if err := p.run(fetching, updateLists); err != nil {
		return nil, fmt.Errorf("the lists of packages cannot be read: %w", err)
	}
	if err := p.run(fetching, fetchPackages); err != nil {
		return nil, fmt.Errorf("packages cannot be fetched: %w", err)
	}
	release, err := holdFiles(ctx, p.lock, true, scriptsWithin)
	if errors.Is(err, errHeld) {
		return nil, fmt.Errorf("scripts ran in the node for %s and patches are not installed beside them", scriptsWithin)
	}
	if err != nil {
		return nil, err
	}
	defer release()
	p.settleScripts(ctx)
	return p.install(ctx)
}

func (p *patcher) install(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, installWithin)
	defer cancel()
	before, err := os.ReadFile(p.status)
	if err != nil {
		return nil, fmt.Errorf("read the installed packages: %w", err)
	}
	// What an earlier attempt left half done comes first.
	for _, step := range [][]string{configureAll, installAll, forgetFetched} {
		if failure := p.run(ctx, step); failure != nil {
			err = fmt.Errorf("packages cannot be installed: %w", failure)
			break
		}
	}
	after, readErr := os.ReadFile(p.status)
	if readErr != nil {
		return nil, errors.Join(err, fmt.Errorf("read the installed packages: %w", readErr))
	}
	return parsePackages(string(before)).newer(parsePackages(string(after))), err
}

// settleScripts compares the files for scripts whose end nobody saw, before the patch
// changes any. None runs, as the files are held.
func (p *patcher) settleScripts(ctx context.Context) {
	records, _ := filepath.Glob(filepath.Join(p.scripts.kept, "*.json"))
	for _, record := range records {
		name := strings.TrimSuffix(filepath.Base(record), ".json")
		if _, err := settle(ctx, script{Name: name, Timeout: scriptPatience}, p.scripts); err != nil {
			p.lines.Printf(patchSource, "what the script %s changed is not known: %v", name, err)
		}
	}
}

// run runs one program at low priority, its words into the machine's log. One that takes
// too long ends with all that it started.
func (p *patcher) run(ctx context.Context, argv []string) error {
	command, err := politely(argv)
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	pid, done, err := p.reaper.Start(command, &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{null.Fd(), write.Fd(), write.Fd()}, Sys: &syscall.SysProcAttr{Setpgid: true},
		Env: append(slices.Clip(p.env), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"),
	})
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return err
	}
	words := &tail{limit: saidLimit}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		p.lines.Copy(patchSource, io.TeeReader(read, words))
	}()
	exit, inTime := p.await(ctx, pid, done)
	// What was left running may hold the pipe.
	select {
	case <-copied:
	case <-time.After(endWithin):
	}
	_ = read.Close()
	<-copied
	switch {
	case !inTime && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s took too long and was ended", argv[0])
	case !inTime:
		return ctx.Err()
	case !exit.Status.Exited() || exit.Status.ExitStatus() != 0:
		return fmt.Errorf("%s %s: %s", argv[0], exit, errorIn(words.String()))
	}
	return nil
}

// await waits for a program's end, and ends it when ctx is done.
func (p *patcher) await(ctx context.Context, pid int, done <-chan supervise.Exit) (exit supervise.Exit, inTime bool) {
	select {
	case exit := <-done:
		return exit, true
	case <-ctx.Done():
	}
	p.reaper.SignalGroup(pid, syscall.SIGTERM)
	select {
	case exit := <-done:
		return exit, false
	case <-time.After(endWithin):
	}
	p.reaper.SignalGroup(pid, syscall.SIGKILL)
	select {
	case exit := <-done:
		return exit, false
	case <-time.After(endWithin):
		return supervise.Exit{PID: pid}, false
	}
}

// politely is argv with the whole path of its program, to be run when nobody else wants
// the processor or the disk.
func politely(argv []string) ([]string, error) {
	program, err := findProgram(argv[0])
	if err != nil {
		return nil, err
	}
	var command []string
	for _, way := range [][]string{{"nice", "-n", "19"}, {"ionice", "-t", "-c", "3"}} {
		if path, err := findProgram(way[0]); err == nil {
			command = append(append(command, path), way[1:]...)
		}
	}
	return append(append(command, program), argv[1:]...), nil
}

// errorIn is what apt and dpkg call errors, or else the last line.
func errorIn(words string) string {
	var found []string
	last := ""
	for line := range strings.Lines(words) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
		if strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "dpkg: error") {
			found = append(found, line)
		}
	}
	if len(found) == 0 {
		return last
	}
	text := strings.Join(found[:min(len(found), 3)], "; ")
	return text[:min(len(text), 600)]
}
