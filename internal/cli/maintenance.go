package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

var maintenanceColumns = []column{
	{"Name", "name"}, {"Schedule", "schedule"}, {"StartTime", "startTime"}, {"UtcOffset", "utcOffset"}, {"Hours", "hours"},
	{"NextWindow", "nextWindow"}, {"Target", "target"}, {"LastResult", "lastResult"}, {"Skipped", "skipped"},
}

// maintenanceNames are AKS's: for the service's releases, for upgradeChannel and for nodeOSUpgradeChannel.
var maintenanceNames = []string{"default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"}

func (s *session) maintenanceCommand() *cobra.Command {
	return s.common(noun("maintenanceconfiguration", "When Berth may upgrade a cluster by itself, with the verbs of `az aks maintenanceconfiguration`",
		s.maintenanceWrite("add", "Add a maintenance configuration", false), s.maintenanceWrite("update", "Replace a maintenance configuration", true),
		s.maintenanceShow(), s.maintenanceList(), s.maintenanceDelete()))
}

// maintenanceRef names a maintenance configuration.
type maintenanceRef struct {
	cluster clusterRef
	name    string
}

func (s *session) maintenanceFlags(command *cobra.Command, ref *maintenanceRef) {
	s.clusterFlags(command, &ref.cluster, "cluster-name", "")
	s.addName(command, &ref.name, nameFlag{"name", "n", "default, aksManagedAutoUpgradeSchedule or aksManagedNodeOSUpgradeSchedule", func(context.Context, *clients) ([]string, error) {
		return maintenanceNames, nil
	}})
}

// get reads the configuration; there is none if the answer is nil.
func (r maintenanceRef) get(ctx context.Context, c *clients) (*armcontainerservice.MaintenanceConfiguration, error) {
	found, err := c.maintenance.Get(ctx, r.cluster.group, r.cluster.name, r.name, nil)
	var response *azcore.ResponseError
	if errors.As(err, &response) && response.StatusCode == http.StatusNotFound && response.ErrorCode == "ResourceNotFound" {
		return nil, nil
	}
	return &found.MaintenanceConfiguration, err
}

// maintenanceWrite is add, which wants there to be none, or update, which wants there to be one.
func (s *session) maintenanceWrite(verb, short string, update bool) *cobra.Command {
	var ref maintenanceRef
	var options maintenanceOptions
	var command *cobra.Command
	command = s.verb(verb, short, func(ctx context.Context, c *clients) error {
		properties, err := options.properties(command.Flags())
		if err != nil {
			return err
		}
		existing, err := ref.get(ctx, c)
		switch {
		case err != nil:
			return err
		case existing != nil && !update:
			return fmt.Errorf("cluster %s has a maintenance configuration %s already: berth maintenanceconfiguration update changes it", ref.cluster.name, ref.name)
		case existing == nil && update:
			return fmt.Errorf("cluster %s has no maintenance configuration %s: berth maintenanceconfiguration add makes it", ref.cluster.name, ref.name)
		}
		ctx, answer := capture(ctx)
		_, err = c.maintenance.CreateOrUpdate(ctx, ref.cluster.group, ref.cluster.name, ref.name,
			armcontainerservice.MaintenanceConfiguration{Properties: properties}, nil)
		if err != nil {
			return err
		}
		return s.printMaintenance(answer())
	})
	s.maintenanceFlags(command, &ref)
	options.register(command)
	return command
}

func (s *session) maintenanceShow() *cobra.Command {
	var ref maintenanceRef
	command := s.verb("show", "Show a maintenance configuration", func(ctx context.Context, c *clients) error {
		ctx, answer := capture(ctx)
		if _, err := c.maintenance.Get(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil); err != nil {
			return err
		}
		return s.printMaintenance(answer())
	})
	s.maintenanceFlags(command, &ref)
	return command
}

func (s *session) maintenanceList() *cobra.Command {
	var ref clusterRef
	command := s.verb("list", "List a cluster's maintenance configurations", func(ctx context.Context, c *clients) error {
		out := []map[string]any{}
		for pager := c.maintenance.NewListByManagedClusterPager(ref.group, ref.name, nil); pager.More(); {
			ctx, answer := capture(ctx)
			if _, err := pager.NextPage(ctx); err != nil {
				return err
			}
			page, err := answer()
			if err != nil {
				return err
			}
			values, _ := page["value"].([]any)
			for _, value := range values {
				if config, ok := value.(map[string]any); ok {
					out = append(out, flat(config))
				}
			}
		}
		return s.printWindows(out, out)
	})
	s.clusterFlags(command, &ref, "cluster-name", "")
	return command
}

func (s *session) maintenanceDelete() *cobra.Command {
	var ref maintenanceRef
	command := s.verb("delete", "Delete a maintenance configuration: Berth may then upgrade at any time", func(ctx context.Context, c *clients) error {
		// ARM takes the deletion of what is not there for done; whoever types a name wants to hear of it.
		if _, err := c.maintenance.Get(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil); err != nil {
			return err
		}
		_, err := c.maintenance.Delete(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil)
		return err
	})
	s.maintenanceFlags(command, &ref)
	yes(command) // az asks nothing here; scripts that say --yes work all the same
	return command
}

func (s *session) printMaintenance(config map[string]any, err error) error {
	if err != nil {
		return err
	}
	out := flat(config)
	return s.printWindows(out, []map[string]any{out})
}

// printWindows prints what there is, or for people a row for each configuration.
func (s *session) printWindows(value any, list []map[string]any) error {
	if s.output != "table" && s.output != "tsv" {
		return s.print(value, nil)
	}
	rows := make([]map[string]any, 0, len(list))
	for _, config := range list {
		rows = append(rows, windowRow(config))
	}
	return s.print(rows, maintenanceColumns)
}

// windowRow puts a configuration into a row.
func windowRow(config map[string]any) map[string]any {
	row := map[string]any{
		"name": config["name"], "schedule": "hours of a week", "nextWindow": textAt(config, "berthNextWindow.start"),
		"target": textAt(config, "berthAutoUpgrade.target"), "lastResult": textAt(config, "berthAutoUpgrade.lastResult"), "skipped": textAt(config, "berthAutoUpgrade.skipped"),
	}
	window, ok := config["maintenanceWindow"].(map[string]any)
	if !ok {
		return row
	}
	row["startTime"], row["utcOffset"], row["hours"] = window["startTime"], window["utcOffset"], window["durationHours"]
	schedules, _ := window["schedule"].(map[string]any)
	for _, kind := range []struct{ name, format, first, second, third string }{
		{"daily", "every %s day(s)", "intervalDays", "", ""},
		{"weekly", "every %s week(s) on %s", "intervalWeeks", "dayOfWeek", ""},
		{"absoluteMonthly", "every %s month(s) on day %s", "intervalMonths", "dayOfMonth", ""},
		{"relativeMonthly", "every %s month(s) on the %s %s", "intervalMonths", "weekIndex", "dayOfWeek"},
	} {
		schedule, ok := schedules[kind.name].(map[string]any)
		if !ok {
			continue
		}
		values := []any{}
		for _, name := range []string{kind.first, kind.second, kind.third} {
			if name != "" {
				values = append(values, textAt(schedule, name))
			}
		}
		row["schedule"] = fmt.Sprintf(kind.format, values...)
	}
	return row
}
