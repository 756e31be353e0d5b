package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// supportColumns are those of a finding.
var supportColumns = []column{
	{"Clause", "clause"}, {"State", "state"}, {"Reason", "reason"}, {"Since", "since"}, {"Act", "act"}, {"Ends", "ends"},
	{"Message", "message"}, {"WayBack", "wayBack"},
}

func (s *session) clusterSupport() *cobra.Command {
	var ref clusterRef
	command := s.verb("support", "Show whether the support policy covers a cluster: why not, what happens when, and the way back", func(ctx context.Context, c *clients) error {
		found, err := c.supportability(ctx, ref)
		if err != nil {
			return err
		}
		return s.showSupport(found)
	})
	s.clusterFlags(command, &ref, "name", "n")
	return command
}

// showSupport prints the state and, for people in a table of their own, the findings.
func (s *session) showSupport(found map[string]any) error {
	if err := s.print(found, []column{{"Support", "state"}, {"ResourceGroup", "resourceGroup"}}); err != nil || s.output != "table" {
		return err
	}
	rows := objectsAt(found, "findings")
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(s.streams.Out)
	return s.print(rows, supportColumns)
}

// supportability reads Berth's own resource, which the SDK does not know.
func (c *clients) supportability(ctx context.Context, ref clusterRef) (map[string]any, error) {
	return c.object(ctx, c.of(http.MethodGet, ownVersion, "resourceGroups", ref.group, "providers", "Microsoft.ContainerService", "managedClusters", ref.name, "supportability"))
}
