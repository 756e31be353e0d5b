package cli

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

var snapshotColumns = []column{
	{"Name", "name"}, {"Location", "location"}, {"KubernetesVersion", "kubernetesVersion"}, {"NodeImageVersion", "nodeImageVersion"},
	{"VmSize", "vmSize"},
}

// snapshotCommand is `berth nodepool snapshot`, with the verbs of `az aks nodepool snapshot`.
func (s *session) snapshotCommand() *cobra.Command {
	return noun("snapshot", "Snapshots of node pools: their version and node image, to make others of",
		s.snapshotCreate(), s.snapshotShow(), s.snapshotList(), s.snapshotDelete())
}

// snapshotRef names a snapshot.
type snapshotRef struct{ group, name string }

func (s *session) snapshotFlags(command *cobra.Command, ref *snapshotRef) {
	s.groupFlag(command, &ref.group)
	s.addName(command, &ref.name, nameFlag{"name", "n", "name of the snapshot", func(ctx context.Context, c *clients) ([]string, error) {
		snapshots, err := listSnapshots(ctx, c, ref.group)
		names := make([]string, 0, len(snapshots))
		for _, snapshot := range snapshots {
			names = append(names, deref(snapshot.Name))
		}
		return names, err
	}})
}

// listSnapshots lists those of a group, or all if it has no name.
func listSnapshots(ctx context.Context, c *clients, group string) ([]*armcontainerservice.Snapshot, error) {
	if group == "" {
		return collect(ctx, c.snapshots.NewListPager(nil), func(page armcontainerservice.SnapshotsClientListResponse) []*armcontainerservice.Snapshot {
			return page.Value
		})
	}
	return collect(ctx, c.snapshots.NewListByResourceGroupPager(group, nil),
		func(page armcontainerservice.SnapshotsClientListByResourceGroupResponse) []*armcontainerservice.Snapshot {
			return page.Value
		})
}

func (s *session) printSnapshot(snapshot armcontainerservice.Snapshot) error {
	out, err := object(snapshot)
	if err != nil {
		return err
	}
	return s.print(out, snapshotColumns)
}

func (s *session) snapshotCreate() *cobra.Command {
	var ref snapshotRef
	var pool, location string
	var tags []string
	command := s.verb("create", "Take a snapshot of a node pool", func(ctx context.Context, c *clients) error {
		parsed, err := pairs("tags", tags)
		if err != nil {
			return err
		}
		if location == "" {
			group, err := c.groups.Get(ctx, ref.group, nil)
			if err != nil {
				return err
			}
			location = deref(group.Location)
		}
		made, err := c.snapshots.CreateOrUpdate(ctx, ref.group, ref.name, armcontainerservice.Snapshot{
			Location: &location, Tags: parsed,
			Properties: &armcontainerservice.SnapshotProperties{CreationData: &armcontainerservice.CreationData{SourceResourceID: &pool}},
		}, nil)
		if err != nil {
			return err
		}
		return s.printSnapshot(made.Snapshot)
	})
	s.snapshotFlags(command, &ref)
	command.Flags().StringVar(&pool, "nodepool-id", "", "id of the node pool, as `berth nodepool show -o json` has it")
	command.Flags().StringVarP(&location, "location", "l", "", "location; the resource group's if not given")
	command.Flags().StringArrayVar(&tags, "tags", nil, "tags, KEY=VALUE …")
	must(command, "nodepool-id")
	return command
}

func (s *session) snapshotShow() *cobra.Command {
	var ref snapshotRef
	command := s.verb("show", "Show a snapshot", func(ctx context.Context, c *clients) error {
		found, err := c.snapshots.Get(ctx, ref.group, ref.name, nil)
		if err != nil {
			return err
		}
		return s.printSnapshot(found.Snapshot)
	})
	s.snapshotFlags(command, &ref)
	return command
}

func (s *session) snapshotList() *cobra.Command {
	var group string
	command := s.verb("list", "List snapshots of node pools", func(ctx context.Context, c *clients) error {
		snapshots, err := listSnapshots(ctx, c, group)
		if err != nil {
			return err
		}
		out, err := objects(snapshots)
		if err != nil {
			return err
		}
		return s.print(out, snapshotColumns)
	})
	command.Flags().StringVarP(&group, "resource-group", "g", "", "resource group; all if not given")
	return command
}

func (s *session) snapshotDelete() *cobra.Command {
	var ref snapshotRef
	var sure *bool
	command := s.verb("delete", "Delete a snapshot", func(ctx context.Context, c *clients) error {
		// ARM takes the deletion of what is not there for done; whoever types a name wants to hear of it.
		if _, err := c.snapshots.Get(ctx, ref.group, ref.name, nil); err != nil {
			return err
		}
		if err := s.confirm(*sure, fmt.Sprintf("Delete snapshot %s?", ref.name)); err != nil {
			return err
		}
		_, err := c.snapshots.Delete(ctx, ref.group, ref.name, nil)
		return err
	})
	s.snapshotFlags(command, &ref)
	sure = yes(command)
	return command
}
