package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

var (
	releaseColumns = []column{{"Release", "version"}, {"Built", "built"}, {"Previous", "previous"}, {"Kubernetes", "kubernetes"}, {"NodeImage", "nodeImage"}}
	changeColumns  = []column{{"Changed", "name"}, {"From", "from"}, {"To", "to"}}
	partColumns    = []column{{"Component", "name"}, {"Version", "version"}}
	roadmapColumns = []column{{"Date", "date"}, {"Kind", "kind"}, {"Subject", "subject"}, {"Message", "message"}}
)

// addReleaseNotes puts `notes` below the host's `berth release`, or below one of its own
// where this program has none.
func (s *session) addReleaseNotes(root *cobra.Command) {
	notes := s.common(s.releaseNotes())
	commands := root.Commands()
	if i := slices.IndexFunc(commands, func(c *cobra.Command) bool { return c.Name() == "release" }); i >= 0 {
		commands[i].AddCommand(notes)
		return
	}
	own := noun("release", "Releases of Berth", notes)
	own.GroupID = groupResource
	root.AddCommand(own)
}

func (s *session) releaseNotes() *cobra.Command {
	command := s.verb("notes [VERSION]", "Show what a release of Berth brought, by default the newest (also: all)", nil)
	command.Args = cobra.MaximumNArgs(1)
	command.RunE = func(command *cobra.Command, args []string) error {
		c, err := s.connect()
		if err != nil {
			return err
		}
		version := "latest"
		if len(args) == 1 {
			version = args[0]
		}
		if version == "all" {
			return s.listReleases(command.Context(), c)
		}
		if version == "" {
			return usageError{errors.New("the version is empty: leave it out for the newest")}
		}
		found, err := c.object(command.Context(), c.of(http.MethodGet, ownVersion, "providers", aksNamespace, "releases", version))
		if err != nil {
			return err
		}
		return s.showRelease(found)
	}
	return command
}

func (s *session) listReleases(ctx context.Context, c *clients) error {
	found, err := listOwn[map[string]any](ctx, c, "providers", aksNamespace, "releases")
	if err != nil {
		return err
	}
	for i := range found {
		found[i] = flat(found[i])
	}
	return s.print(found, releaseColumns)
}

// showRelease prints notes: for people what changed, what in the node image, and what all
// components are now.
func (s *session) showRelease(found map[string]any) error {
	if err := s.print(found, releaseColumns); err != nil || s.output != "table" {
		return err
	}
	for _, one := range []struct{ key, title string }{{"changes", ""}, {"packages", "In the node image:"}} {
		rows := objectsAt(found, one.key)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintln(s.streams.Out)
		if one.title != "" {
			fmt.Fprintln(s.streams.Out, one.title)
		}
		if err := s.print(rows, changeColumns); err != nil {
			return err
		}
	}
	components, _ := found["components"].(map[string]any)
	rows := make([]map[string]any, 0, len(components))
	for name, version := range components {
		rows = append(rows, map[string]any{"name": name, "version": version})
	}
	slices.SortFunc(rows, func(a, b map[string]any) int { return strings.Compare(textAt(a, "name"), textAt(b, "name")) })
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(s.streams.Out)
	return s.print(rows, partColumns)
}

// roadmapCommand is `berth roadmap`.
func (s *session) roadmapCommand() *cobra.Command {
	return s.common(s.verb("roadmap", "Show what comes: previews, the dates of versions, fixes and plans", func(ctx context.Context, c *clients) error {
		found, err := listOwn[map[string]any](ctx, c, "providers", aksNamespace, "roadmap")
		if err != nil {
			return err
		}
		for i := range found {
			found[i] = flat(found[i])
		}
		return s.print(found, roadmapColumns)
	}))
}
