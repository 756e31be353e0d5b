package image

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

	"github.com/spf13/cobra"
)

// Options choose what a build does.
type Options struct {
	// Root is the repository.
	Root string
	// Only names steps, which are built with what they need; none means all.
	Only []string
	// Again names steps to build even if nothing changed, such as rootfs for
	// Debian's newest packages.
	Again []string
	// Out gets the progress; on a terminal it is one line that changes.
	Out io.Writer
}

// freeBytes is what a build from nothing takes at most, go's own caches included.
const freeBytes = 12 << 30

// Build makes everything that Berth runs into build/ of the repository, installs
// the programs it needs for that, and skips what is finished. Its error names
// the step and has the failed command with the end of its output.
func Build(ctx context.Context, o Options) error {
	also, err := alsoMade(filepath.Join(o.Root, "build"))
	if err != nil {
		return err
	}
	steps, err := Select(Plan(time.Now, also...), o.Only)
	if err != nil {
		return err
	}
	if err := checkAgain(steps, o.Again); err != nil {
		return err
	}
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("a build needs go, of the version in go.mod or newer, in PATH; see https://go.dev/dl")
	}
	if err := ensure(ctx, thisHost(), missing(prerequisites()), o.Out); err != nil {
		return err
	}
	build := filepath.Join(o.Root, "build")
	if err := os.MkdirAll(build, 0o755); err != nil {
		return fmt.Errorf("make build directory: %w", err)
	}
	if err := checkSpace(build, freeBytes); err != nil {
		return err
	}
	builder := &Builder{Root: o.Root, Build: build, Steps: steps, Again: o.Again, progress: newProgress(o.Out, isTerminal(o.Out))}
	began := time.Now()
	if err := builder.Run(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "built %s in %s; %d of %d steps were unchanged\n",
		build, time.Since(began).Round(time.Second), builder.unchanged, len(steps))
	return err
}

func checkAgain(steps []Step, again []string) error {
	for _, name := range again {
		if _, err := Select(steps, []string{name}); err != nil {
			return err
		}
	}
	return nil
}

// checkSpace refuses to begin what is likely to fill the disk. A build that has
// its stamps needs little, so that it asks only for a first one.
func checkSpace(build string, want uint64) error {
	if _, err := os.Stat(filepath.Join(build, catalogueFile)); err == nil {
		want /= 6
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(build, &stat); err != nil {
		return fmt.Errorf("look for free space in %s: %w", build, err)
	}
	if free := stat.Bavail * uint64(stat.Bsize); free < want {
		return fmt.Errorf("%s has %.1f GiB free, a build may need %.1f GiB; free some, or mount a larger disk there", build, gib(free), gib(want))
	}
	return nil
}

func gib(bytes uint64) float64 { return float64(bytes) / (1 << 30) }

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// FindRoot walks up from dir to Berth's repository.
func FindRoot(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		raw, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(raw), "module berth.dev/berth\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside Berth's repository; run this where go.mod says berth.dev/berth", dir)
		}
	}
}

// NewBuildCommand is `berth build`.
func NewBuildCommand() *cobra.Command {
	var o Options
	var list bool
	command := &cobra.Command{
		Use:   "build",
		Short: "Build the binaries and images that Berth runs",
		Long: `Builds everything that Berth runs from Go modules and Debian packages: Kubernetes,
etcd, containerd and the rest, the node's root file system and the OCI images.
What is unchanged since the last build is skipped.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			o.Out = command.OutOrStdout()
			var err error
			if o.Root, err = repository(); err != nil {
				return err
			}
			if list {
				also, err := alsoMade(filepath.Join(o.Root, "build"))
				if err != nil {
					return err
				}
				return listSteps(o.Out, also)
			}
			err = Build(command.Context(), o)
			if errors.Is(err, context.Canceled) {
				return errors.New("build interrupted; run it again and it goes on where it was")
			}
			return err
		},
	}
	command.Flags().StringSliceVar(&o.Only, "only", nil, "build only these steps, or all whose names begin so (kube, image, node-1.37, …), and what they need")
	command.Flags().StringSliceVar(&o.Again, "again", nil, "build these steps even if nothing changed (rootfs takes Debian's newest packages)")
	command.Flags().BoolVar(&list, "list", false, "list the steps and build nothing")
	return command
}

func listSteps(out io.Writer, also []string) error {
	for _, step := range Plan(time.Now, also...) {
		if _, err := fmt.Fprintf(out, "%-28s %s\n", step.Name, step.Title); err != nil {
			return err
		}
	}
	return nil
}
