package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

var deletedColumns = []column{
	{"Name", "cluster"}, {"ResourceGroup", "resourceGroup"}, {"Id", "name"}, {"KubernetesVersion", "kubernetesVersion"},
	{"Deleted", "deletionDate"}, {"RecoverableUntil", "scheduledPurgeDate"}, {"ProvisioningState", "provisioningState"},
}

const deletedKind = "deletedManagedClusters"

// listDeleted lists the deleted clusters of a group, or all if it has no name, the one
// that was deleted last first. Each has the name and group that its cluster had.
func listDeleted(ctx context.Context, c *clients, group string) ([]map[string]any, error) {
	path := []string{"providers", "Microsoft.ContainerService", deletedKind}
	if group != "" {
		path = append([]string{"resourceGroups", group}, path...)
	}
	found, err := listOwn[map[string]any](ctx, c, path...)
	if err != nil {
		return nil, err
	}
	rows := make([]map[string]any, 0, len(found))
	for _, one := range found {
		row := flat(one)
		id := textAt(row, "managedClusterId")
		row["cluster"] = id[strings.LastIndex(id, "/")+1:]
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b map[string]any) int {
		return strings.Compare(textAt(b, "deletionDate"), textAt(a, "deletionDate"))
	})
	return rows, nil
}

func (s *session) clusterListDeleted() *cobra.Command {
	var group string
	command := s.verb("list-deleted", "List deleted clusters that can be recovered", func(ctx context.Context, c *clients) error {
		rows, err := listDeleted(ctx, c, group)
		if err != nil {
			return err
		}
		return s.print(rows, deletedColumns)
	})
	command.Flags().StringVarP(&group, "resource-group", "g", "", "resource group; all if not given")
	return command
}

// deletedRef names a deleted cluster: by the name that it had, and its id where several had it.
type deletedRef struct {
	clusterRef
	id string
}

func (s *session) deletedFlags(command *cobra.Command, ref *deletedRef) {
	s.groupFlag(command, &ref.group)
	s.addName(command, &ref.name, nameFlag{"name", "n", "name that the cluster had", func(ctx context.Context, c *clients) ([]string, error) {
		rows, err := listDeleted(ctx, c, ref.group)
		names := make([]string, 0, len(rows))
		for _, row := range rows {
			names = append(names, textAt(row, "cluster"))
		}
		return names, err
	}})
	command.Flags().StringVar(&ref.id, "id", "", "its Id in list-deleted; the cluster deleted last if not given")
}

// path finds the deleted cluster.
func (r deletedRef) path(ctx context.Context, c *clients) ([]string, error) {
	rows, err := listDeleted(ctx, c, r.group)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		id := textAt(row, "name")
		if strings.EqualFold(textAt(row, "cluster"), r.name) && (r.id == "" || r.id == id) {
			return []string{"resourceGroups", r.group, "providers", "Microsoft.ContainerService", deletedKind, id}, nil
		}
	}
	return nil, fmt.Errorf("no deleted cluster %s of resource group %s can be recovered; `berth cluster list-deleted` has those that can", r.name, r.group)
}

func (s *session) clusterRecover() *cobra.Command {
	var ref deletedRef
	var dontWait *bool
	command := s.verb("recover", "Bring a deleted cluster back, with what it held when it was deleted", func(ctx context.Context, c *clients) error {
		path, err := ref.path(ctx, c)
		if err != nil {
			return err
		}
		poller, err := c.begin(ctx, http.MethodPost, append(path, "recover")...)
		if err != nil || *dontWait {
			return err
		}
		if _, err = follow(ctx, s, "Recovering cluster "+ref.name, poller, ref.state(c)); err != nil {
			return err
		}
		found, err := c.clusters.Get(ctx, ref.group, ref.name, nil)
		if err != nil {
			return err
		}
		return s.printCluster(found.ManagedCluster)
	})
	s.deletedFlags(command, &ref)
	dontWait = noWait(command)
	return command
}

func (s *session) clusterPurge() *cobra.Command {
	var ref deletedRef
	var sure *bool
	command := s.verb("purge", "Remove what is kept of a deleted cluster, for good", func(ctx context.Context, c *clients) error {
		path, err := ref.path(ctx, c)
		if err != nil {
			return err
		}
		if err := s.confirm(*sure, fmt.Sprintf("Remove all backups of the deleted cluster %s? Nobody can recover it then.", ref.name)); err != nil {
			return err
		}
		response, err := c.ask(ctx, http.MethodDelete, []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent}, path...)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
	s.deletedFlags(command, &ref)
	sure = yes(command)
	return command
}

// tellRecovery says until when a cluster that was deleted can be recovered. A Berth that
// keeps nothing says nothing.
func (s *session) tellRecovery(ctx context.Context, c *clients, ref clusterRef) {
	rows, err := listDeleted(ctx, c, ref.group)
	if err != nil {
		return
	}
	for _, row := range rows {
		if strings.EqualFold(textAt(row, "cluster"), ref.name) {
			fmt.Fprintf(s.streams.Err, "It can be recovered until %s: berth cluster recover -g %s -n %s\n", textAt(row, "scheduledPurgeDate"), ref.group, ref.name)
			return
		}
	}
}
