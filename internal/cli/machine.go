package cli

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

var machineColumns = []column{{"Name", "name"}, {"Ip", "ip"}, {"Family", "family"}}

func (s *session) machineCommand() *cobra.Command {
	return s.common(noun("machine", "Machines, which carry the nodes", s.machineList()))
}

func (s *session) machineList() *cobra.Command {
	var ref clusterRef
	var pool string
	command := s.verb("list", "List the machines of a pool, or of all pools", func(ctx context.Context, c *clients) error {
		names := []string{pool}
		if pool == "" {
			pools, err := listPools(ctx, c, ref)
			if err != nil {
				return err
			}
			names = names[:0]
			for _, one := range pools {
				names = append(names, deref(one.Name))
			}
		}
		out := []map[string]any{}
		for _, name := range names {
			machines, err := collect(ctx, c.machines.NewListPager(ref.group, ref.name, name, nil),
				func(page armcontainerservice.MachinesClientListResponse) []*armcontainerservice.Machine {
					return page.Value
				})
			if err != nil {
				return err
			}
			for _, machine := range machines {
				one, err := machineObject(machine)
				if err != nil {
					return err
				}
				out = append(out, one)
			}
		}
		if s.output == "table" || s.output == "tsv" {
			return s.print(machineRows(out), machineColumns)
		}
		return s.print(out, nil)
	})
	s.clusterFlags(command, &ref, "cluster-name", "")
	command.Flags().StringVar(&pool, "nodepool-name", "", "name of the pool; all if not given")
	return command
}

// machineObject is a machine as az shows it: with its properties where they are.
func machineObject(machine *armcontainerservice.Machine) (map[string]any, error) {
	out, err := rawObject(machine)
	if err == nil {
		out["resourceGroup"] = groupOf(deref(machine.ID))
	}
	return out, err
}

// machineRows has a row for each machine, with its first address.
func machineRows(machines []map[string]any) []map[string]any {
	rows := make([]map[string]any, 0, len(machines))
	for _, machine := range machines {
		row := map[string]any{"name": machine["name"]}
		properties, _ := machine["properties"].(map[string]any)
		network, _ := properties["network"].(map[string]any)
		addresses, _ := network["ipAddresses"].([]any)
		if len(addresses) > 0 {
			first, _ := addresses[0].(map[string]any)
			row["ip"], row["family"] = first["ip"], first["family"]
		}
		rows = append(rows, row)
	}
	return rows
}
