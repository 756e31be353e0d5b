package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
)

var quotaColumns = []column{{"Name", "name.localizedValue"}, {"CurrentValue", "currentValue"}, {"Limit", "limit"}}

// quotaVersion is the api-version in which AKS's clients ask for clusters.
const quotaVersion = "2025-02-01"

// quotaCommand is `berth quota`.
func (s *session) quotaCommand() *cobra.Command {
	return s.common(noun("quota", "What the subscription can have", s.quotaList()))
}

func (s *session) quotaList() *cobra.Command {
	var location string
	command := s.verb("list", "List the quotas of the subscription, and what there is of each", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, c.of(http.MethodGet, quotaVersion, "providers", "Microsoft.ContainerService", "locations", location, "usages"))
		if err != nil {
			return err
		}
		return s.print(found, quotaColumns)
	})
	s.locationFlag(command, &location)
	return command
}
