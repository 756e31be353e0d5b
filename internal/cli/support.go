package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
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
	response, err := c.ask(ctx, http.MethodGet, []int{http.StatusOK},
		"resourceGroups", ref.group, "providers", "Microsoft.ContainerService", "managedClusters", ref.name, "supportability")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	payload, err := runtime.Payload(response)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	body, err := rawObject(json.RawMessage(payload))
	if err != nil {
		return nil, err
	}
	return flat(body), nil
}
