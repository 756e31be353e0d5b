package image

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
)

// Builder runs steps in order and skips those that are finished.
type Builder struct {
	// Root is the repository, Build the directory of all outputs.
	Root, Build string
	Steps       []Step
	// Again names steps to build even if they are finished.
	Again []string

	progress *progress
	digests  map[string]string
	sums     *hashes
	// unchanged counts the steps that were skipped.
	unchanged int
}

// Work is what a running step sees.
type Work struct {
	// Root is the repository and Build where finished outputs of earlier steps are.
	Root, Build string
	// Temporary is an empty directory of this step on the file system of Build;
	// it is removed afterwards.
	Temporary string
	sums      *hashes
	// Log gets the whole output of the programs that the step runs.
	Log io.Writer
	// Say tells the user how far the step is.
	Say func(detail string)
}

// Output is where the step is to make an output. It becomes visible at its real
// place when the whole step is done.
func (w *Work) Output(name string) string {
	return filepath.Join(w.Temporary, "outputs", name)
}

// Built is where an output of an earlier step lies.
func (w *Work) Built(name string) string { return filepath.Join(w.Build, name) }

// run runs a program with its output in the step's log.
func (w *Work) run(ctx context.Context, p program) error { return p.run(ctx, w.Log) }

// Select returns the named steps and all that they need, in order. A name that
// ends in a slash or is the beginning of several steps' names up to a dash or
// slash, such as "image", means all of them.
func Select(steps []Step, names []string) ([]Step, error) {
	if len(names) == 0 {
		return steps, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		found := false
		for _, step := range steps {
			if matches(step.Name, name) {
				wanted[step.Name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no build step %q; the steps are %s", name, strings.Join(stepNames(steps), ", "))
		}
	}
	// Needs stand before what needs them, so that one walk from the end finds all.
	var selected []Step
	for _, step := range slices.Backward(steps) {
		if !wanted[step.Name] {
			continue
		}
		for _, need := range step.Needs {
			wanted[need] = true
		}
		selected = append(selected, step)
	}
	slices.Reverse(selected)
	return selected, nil
}

func matches(step, name string) bool {
	name = strings.TrimRight(name, "-/")
	return step == name || strings.HasPrefix(step, name+"-") || strings.HasPrefix(step, name+"/")
}

func stepNames(steps []Step) []string {
	names := make([]string, len(steps))
	for i, step := range steps {
		names[i] = step.Name
	}
	return names
}

// Run builds what is not finished. It stops at the first step that fails; all
// that was finished before stays.
func (b *Builder) Run(ctx context.Context) error {
	unlock, err := lock(filepath.Join(b.Build, ".cache", "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	// Nobody else builds, so that whatever lies here is of an interrupted build.
	if err := os.RemoveAll(b.temporary()); err != nil {
		return fmt.Errorf("remove what an interrupted build left: %w", err)
	}
	if err := sweep(b.Build, "/proc"); err != nil {
		return err
	}
	b.sums = loadHashes(filepath.Join(b.Build, ".cache", "hashes.json"))
	b.digests, b.unchanged = map[string]string{}, 0
	for i, step := range b.Steps {
		if err := b.step(ctx, i+1, step); err != nil {
			return errors.Join(err, b.sums.save())
		}
	}
	return b.sums.save()
}

func (b *Builder) temporary() string { return filepath.Join(b.Build, ".cache", "tmp") }

func (b *Builder) step(ctx context.Context, number int, step Step) error {
	key, err := step.key(ctx, b.Root, b.digests)
	if err != nil {
		return err
	}
	if digest, ok := step.finished(b.Build, key); ok && !step.Always && !slices.Contains(b.Again, step.Name) {
		b.digests[step.Name] = digest
		b.unchanged++
		return nil
	}
	b.progress.begin(number, len(b.Steps), step.Title)
	digest, err := b.build(ctx, step, key)
	if err != nil {
		b.progress.end("failed")
		return fmt.Errorf("build %s: %w\n(whole output: %s)", step.Title, err, b.logPath(step))
	}
	b.progress.end("done")
	b.digests[step.Name] = digest
	return nil
}

func (b *Builder) logPath(step Step) string {
	return filepath.Join(b.Build, ".cache", "logs", step.Name+".log")
}

// build runs one step. The old stamp goes first and the new one comes last.
func (b *Builder) build(ctx context.Context, step Step, key string) (string, error) {
	if err := os.Remove(stampPath(b.Build, step.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	work := &Work{Root: b.Root, Build: b.Build, Temporary: filepath.Join(b.temporary(), step.Name), Say: b.progress.say, sums: b.sums}
	defer os.RemoveAll(work.Temporary)
	for _, output := range step.Outputs {
		if err := os.MkdirAll(filepath.Dir(work.Output(output)), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(b.logPath(step)), 0o755); err != nil {
		return "", err
	}
	log, err := os.Create(b.logPath(step))
	if err != nil {
		return "", err
	}
	defer log.Close()
	work.Log = log
	if err := step.Run(ctx, work); err != nil {
		return "", err
	}
	for _, output := range step.Outputs {
		if err := b.replace(work.Output(output), filepath.Join(b.Build, output)); err != nil {
			return "", fmt.Errorf("put %s in its place: %w", output, err)
		}
	}
	return step.finish(b.Build, key, b.sums)
}

// replace moves a finished file or directory to its place. A directory that is
// there already is moved away whole, since a running machine may stand on it.
func (b *Builder) replace(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(to); err == nil && info.IsDir() {
		old, err := os.MkdirTemp(oldDir(b.Build), "")
		if err != nil {
			return err
		}
		if err := os.Rename(to, filepath.Join(old, filepath.Base(to))); err != nil {
			return err
		}
	}
	return os.Rename(from, to)
}

// lock makes sure that only one build runs in a directory.
func lock(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the build's lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another build is running in %s; wait for it to end", filepath.Dir(filepath.Dir(path)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
