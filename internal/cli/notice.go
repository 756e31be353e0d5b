package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

var (
	advisoryColumns = []column{{"Name", "name"}, {"Severity", "severity"}, {"Published", "published"}, {"Vulnerabilities", "vulnerabilities"}, {"Clusters", "clusters"}, {"Title", "title"}}
	adviceColumns   = []column{{"Cluster", "name"}, {"ResourceGroup", "resourceGroup"}, {"Clause", "clause"}, {"Turn", "turn"}, {"Since", "since"}, {"Evidence", "evidence"}, {"Next", "next"}}
	issueColumns    = []column{{"Name", "name"}, {"Clusters", "clusters"}, {"FixedIn", "fixedIn"}, {"Title", "title"}}
	touchColumns    = []column{{"Cluster", "name"}, {"ResourceGroup", "resourceGroup"}, {"Evidence", "evidence"}}
)

// noticeKind is a kind of notice and how it is shown.
type noticeKind struct {
	path, flag, what string
	columns          []column
	// texts are shown below the table, by their names, and clusters in one of their own.
	texts    []column
	clusters []column
}

var (
	advisoryKind = noticeKind{"advisories", "advisory-name", "advisory", advisoryColumns,
		[]column{{"Impact", "impact"}, {"Steps", "steps"}, {"Links", "links"}}, adviceColumns}
	issueKind = noticeKind{"knownIssues", "issue-name", "known issue", issueColumns,
		[]column{{"Description", "description"}, {"Workaround", "workaround"}, {"After an upgrade the workaround is", "afterUpgrade"}, {"Timeline", "timeline"}, {"Upstream", "links"}}, touchColumns}
)

// issueCommand is `berth known-issue`.
func (s *session) issueCommand() *cobra.Command {
	return s.common(noun("known-issue", "Bugs that are known, and how to live with them",
		s.noticeList(issueKind, "List the known issues, or those that touch a cluster"), s.noticeShow(issueKind)))
}

func (s *session) noticeList(kind noticeKind, short string) *cobra.Command {
	var ref clusterRef
	command := s.verb("list", short, func(ctx context.Context, c *clients) error {
		path, err := ref.own(kind.path)
		if err != nil {
			return err
		}
		found, err := listOwn[map[string]any](ctx, c, path...)
		if err != nil {
			return err
		}
		for i := range found {
			found[i] = flat(found[i])
		}
		if s.output != "json" && s.output != "yaml" {
			countClusters(found)
		}
		return s.print(found, kind.columns)
	})
	s.scopeFlags(command, &ref)
	return command
}

// countClusters says of each notice how many clusters it touches.
func countClusters(found []map[string]any) {
	for _, one := range found {
		one["clusters"] = fmt.Sprint(len(objectsAt(one, "affected")))
	}
}

func (s *session) noticeShow(kind noticeKind) *cobra.Command {
	var name string
	command := s.verb("show", "Show a "+kind.what+" with all that it says, and the clusters of the subscription that it touches", func(ctx context.Context, c *clients) error {
		found, err := c.object(ctx, c.of(http.MethodGet, ownVersion, "providers", aksNamespace, kind.path, name))
		if err != nil {
			return err
		}
		if s.output != "table" {
			return s.print(found, kind.columns)
		}
		return s.showNotice(found, kind)
	})
	s.addName(command, &name, nameFlag{kind.flag, "", "name of the " + kind.what, func(ctx context.Context, c *clients) ([]string, error) {
		found, err := listOwn[map[string]any](ctx, c, "providers", aksNamespace, kind.path)
		names := make([]string, 0, len(found))
		for _, one := range found {
			names = append(names, textAt(one, "name"))
		}
		return names, err
	}})
	return command
}

// showNotice prints a notice for people: the table, the texts, and the clusters.
func (s *session) showNotice(found map[string]any, kind noticeKind) error {
	clusters := objectsAt(found, "affected")
	countClusters([]map[string]any{found})
	if err := s.print(found, kind.columns); err != nil {
		return err
	}
	for _, one := range kind.texts {
		if text := strings.ReplaceAll(textAt(found, one.path), ", http", "\n  http"); text != "" {
			fmt.Fprintf(s.streams.Out, "\n%s:\n  %s\n", one.heading, text)
		}
	}
	if len(clusters) == 0 {
		return nil
	}
	for _, one := range clusters {
		one["resourceGroup"] = groupOf(textAt(one, "id"))
	}
	fmt.Fprintln(s.streams.Out)
	return s.print(clusters, kind.clusters)
}
