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

// clockColumns are those of a clock, whether a finding has it or not.
var clockColumns = []column{{"Clock", "clause"}, {"Act", "act"}, {"Since", "since"}, {"Elapsed", "elapsed"}, {"Ends", "ends"}, {"NoticeGiven", "noticeGiven"}}

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

// showSupport prints the state and, for people in tables of their own, the findings and the clocks.
func (s *session) showSupport(found map[string]any) error {
	if err := s.print(found, []column{{"Support", "state"}, {"ResourceGroup", "resourceGroup"}}); err != nil || s.output != "table" {
		return err
	}
	for _, part := range []struct {
		rows    []map[string]any
		columns []column
	}{{objectsAt(found, "findings"), supportColumns}, {objectsAt(found, "clocks"), clockColumns}} {
		if len(part.rows) == 0 {
			continue
		}
		fmt.Fprintln(s.streams.Out)
		if err := s.print(part.rows, part.columns); err != nil {
			return err
		}
	}
	return nil
}

// supportability reads Berth's own resource, which the SDK does not know.
func (c *clients) supportability(ctx context.Context, ref clusterRef) (map[string]any, error) {
	return c.object(ctx, c.of(http.MethodGet, ownVersion, "resourceGroups", ref.group, "providers", "Microsoft.ContainerService", "managedClusters", ref.name, "supportability"))
}
