package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"berth.dev/berth/internal/image"
	"berth.dev/berth/internal/release"
)

// NewReleaseCommand is `berth release`.
func NewReleaseCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "release",
		Short: "Add and remove versions of Kubernetes and see which ones there are",
	}
	command.AddCommand(releaseAddCommand(), releaseRemoveCommand(), releaseListCommand())
	return command
}

func releaseAddCommand() *cobra.Command {
	var options UpOptions
	command := &cobra.Command{
		Use:   "add VERSION",
		Short: "Build a version of Kubernetes from source and offer it to clusters",
		Long: `Builds a version of Kubernetes from source, with its node image, and adds it to the release
catalogue. A Berth that is up on this host gets the images and offers the version at once: clusters
go on running meanwhile.`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return image.Buildable(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(command *cobra.Command, args []string) error {
			options.Out = command.OutOrStdout()
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			err := addRelease(ctx, args[0], options)
			if errors.Is(err, context.Canceled) {
				return fmt.Errorf("interrupted: run \"berth release add %s\" again and it goes on where it was", args[0])
			}
			return err
		},
	}
	addStateDir(command, &options.StateDir)
	return command
}

// addRelease builds a release and brings it to the Berth of this host, if one is up.
func addRelease(ctx context.Context, version string, options UpOptions) error {
	root, err := repository()
	if err != nil {
		return err
	}
	if err := image.AddRelease(ctx, version, image.Options{Root: root, Out: options.Out}); err != nil {
		return err
	}
	paths, err := NewPaths(options.StateDir)
	if err != nil {
		return err
	}
	if runningSupervisor(paths) == nil {
		_, err := fmt.Fprintf(options.Out, "Kubernetes %s is built; the next \"berth up\" brings it to the service\n", version)
		return err
	}
	options.BuildDir = filepath.Join(root, "build")
	if err := Up(ctx, options); err != nil {
		return fmt.Errorf("Kubernetes %s is built, but could not be brought to the service: %w", version, err)
	}
	return nil
}

// repository is the one that the working directory is in.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return image.FindRoot(dir)
}

func releaseListCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "list",
		Short: "List the versions of Kubernetes that are built, and those that can be",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("output is %q, want table or json", output)
			}
			root, err := repository()
			if err != nil {
				return err
			}
			catalogue, err := image.BuiltCatalogue(root)
			if err != nil {
				return err
			}
			return printReleases(command.OutOrStdout(), output, releaseRows(catalogue, time.Now()))
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return command
}

// releaseRow is a version as `berth release list` shows it.
type releaseRow struct {
	Version string        `json:"version"`
	State   release.State `json:"state"`
	release.Life
	// Built says that the last build made it.
	Built bool `json:"built"`
}

// releaseRows lists what is built and what could be, newest first. The states are
// those that the built catalogue gives: a version that is not in it changes none.
func releaseRows(catalogue *release.Catalogue, now time.Time) []releaseRow {
	all := &release.Catalogue{Releases: catalogue.Sorted()}
	for _, version := range image.Buildable() {
		if _, built := catalogue.Release(version); !built {
			all.Releases = append(all.Releases, release.Release{Version: version, Life: release.LifeOf(release.Minor(version))})
		}
	}
	var rows []releaseRow
	for _, r := range all.Sorted() {
		_, built := catalogue.Release(r.Version)
		rows = append(rows, releaseRow{Version: r.Version, State: catalogue.StateAt(r, release.PlanOfficial, now), Life: r.Life, Built: built})
	}
	return rows
}

func printReleases(out io.Writer, format string, rows []releaseRow) error {
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rows)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "KUBERNETES\tSTATE\tRELEASED\tEND OF SUPPORT\tLTS UNTIL\tBUILT")
	for _, row := range rows {
		built := "yes"
		if !row.Built {
			built = "no: berth release add " + row.Version
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Version, row.State, row.Released, row.EndOfSupport, row.EndOfLTS, built)
	}
	return table.Flush()
}
