package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"berth.dev/berth/internal/release"
)

// NewNodeImageCommand is `berth nodeimage`.
func NewNodeImageCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "nodeimage",
		Short: "Build node images and see what is in them",
	}
	command.AddCommand(nodeImageBuildCommand(), nodeImageListCommand(), nodeImageShowCommand())
	return command
}

func nodeImageBuildCommand() *cobra.Command {
	var force bool
	var sources string
	command := &cobra.Command{
		Use:   "build",
		Short: "Build a node image with Debian's current packages",
		Long: `Builds the node image anew from Debian's current packages, security updates included.
If nothing in it changed, the newest node image stays what it is. "berth up" brings a new one
to the service; pools take it when they are upgraded, by hand or by their channel.

Nodes that patch themselves get their patches from deb.debian.org and security.debian.org. A
site that does not reach them names its own with --apt-sources, in either format of
sources.list(5): later builds go on with them.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return buildNodeImage(command, force, sources)
		},
	}
	command.Flags().BoolVar(&force, "force", false, "make a new version even if nothing changed")
	command.Flags().StringVar(&sources, "apt-sources", "", `the file of apt sources that nodes get, from now on; "debian" for Debian's own again`)
	return command
}

func buildNodeImage(command *cobra.Command, force bool, sources string) error {
	root, err := repository()
	if err != nil {
		return err
	}
	build := filepath.Join(root, "build")
	if sources != "" {
		if err := rememberSources(build, sources); err != nil {
			return err
		}
	}
	before, err := builtCatalogue(build)
	if err != nil {
		return err
	}
	again := []string{"rootfs"}
	if force {
		again = append(again, "node-version")
	}
	out := command.OutOrStdout()
	if err := Build(command.Context(), Options{Root: root, Again: again, Out: out}); err != nil {
		return err
	}
	after, err := builtCatalogue(build)
	if err != nil {
		return err
	}
	if before.NodeImageVersion == after.NodeImageVersion {
		_, err = fmt.Fprintf(out, "%s is current: no package changed\n", after.NodeImageVersion)
		return err
	}
	return describeNodeImage(out, after, after.NodeImages[0])
}

func nodeImageListCommand() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "list",
		Short: "List the node images that machines can be made of",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			catalogue, err := knownImages()
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(command.OutOrStdout(), catalogue.NodeImages)
			}
			return listNodeImages(command.OutOrStdout(), catalogue)
		},
	}
	formatFlag(command, &format)
	return command
}

func listNodeImages(out io.Writer, catalogue *release.Catalogue) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NODE IMAGE\tBUILT\tKUBERNETES\tCHANGED")
	for i, image := range catalogue.NodeImages {
		changed := "-"
		if i+1 < len(catalogue.NodeImages) {
			changed = fmt.Sprint(len(image.ChangesSince(catalogue.NodeImages[i+1])))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", image.Version, image.Built,
			strings.Join(slices.Sorted(maps.Keys(image.Images)), " "), changed)
	}
	return table.Flush()
}

func nodeImageShowCommand() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "show [VERSION]",
		Short: "Show what is in a node image, by default the newest, and what changed since the one before",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			catalogue, err := knownImages()
			if err != nil {
				return err
			}
			version := catalogue.NodeImageVersion
			if len(args) == 1 {
				version = args[0]
			}
			image, ok := catalogue.NodeImage(version)
			if !ok {
				return fmt.Errorf("there is no node image %q; `berth nodeimage list` shows those that there are", version)
			}
			if format == "json" {
				return printJSON(command.OutOrStdout(), image)
			}
			return showNodeImage(command.OutOrStdout(), catalogue, image)
		},
	}
	formatFlag(command, &format)
	return command
}

func showNodeImage(out io.Writer, catalogue *release.Catalogue, image release.NodeImage) error {
	if err := describeNodeImage(out, catalogue, image); err != nil {
		return err
	}
	fmt.Fprintln(out, "\ncontains:")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, parts := range []map[string]string{image.Components, image.Packages} {
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			fmt.Fprintf(table, "  %s\t%s\n", name, parts[name])
		}
	}
	return table.Flush()
}

// describeNodeImage tells what changed since the image before (N1).
func describeNodeImage(out io.Writer, catalogue *release.Catalogue, image release.NodeImage) error {
	fmt.Fprintf(out, "%s, built %s, for Kubernetes %s\n", image.Version, image.Built,
		strings.Join(slices.Sorted(maps.Keys(image.Images)), ", "))
	at := slices.IndexFunc(catalogue.NodeImages, func(one release.NodeImage) bool { return one.Version == image.Version })
	if at+1 >= len(catalogue.NodeImages) {
		_, err := fmt.Fprintln(out, "the oldest that is kept")
		return err
	}
	previous := catalogue.NodeImages[at+1]
	changes := image.ChangesSince(previous)
	fmt.Fprintf(out, "%d changes since %s\n", len(changes), previous.Version)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, change := range changes {
		fmt.Fprintf(table, "  %s\t%s\t→ %s\n", change.Name, orNone(change.From), orNone(change.To))
	}
	return table.Flush()
}

func orNone(version string) string {
	if version == "" {
		return "(none)"
	}
	return version
}

// knownImages is the catalogue of the build, which must be there.
func knownImages() (*release.Catalogue, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	catalogue, err := builtCatalogue(filepath.Join(root, "build"))
	if err == nil && len(catalogue.NodeImages) == 0 {
		err = errors.New("no node image is built yet; run \"berth build\"")
	}
	return catalogue, err
}

func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return FindRoot(dir)
}

func formatFlag(command *cobra.Command, format *string) {
	*format = "table"
	command.Flags().VarP(formatValue{format}, "output", "o", "table or json")
}

// formatValue refuses a format that nobody prints.
type formatValue struct{ format *string }

func (v formatValue) String() string { return *v.format }
func (v formatValue) Type() string   { return "format" }

func (v formatValue) Set(text string) error {
	if text != "table" && text != "json" {
		return fmt.Errorf("%q is not table or json", text)
	}
	*v.format = text
	return nil
}

func printJSON(out io.Writer, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(raw))
	return err
}
