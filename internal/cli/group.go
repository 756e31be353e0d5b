package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/spf13/cobra"
)

var groupColumns = []column{
	{"Name", "name"}, {"Location", "location"}, {"Status", "properties.provisioningState"},
}

func (s *session) groupCommand() *cobra.Command {
	return s.common(noun("group", "Resource groups",
		s.groupCreate(), s.groupShow(), s.groupList(), s.groupDelete(), s.groupExists()))
}

func groupNames(ctx context.Context, c *clients) ([]string, error) {
	groups, err := listGroups(ctx, c)
	names := make([]string, 0, len(groups))
	for _, group := range groups {
		names = append(names, deref(group.Name))
	}
	return names, err
}

func listGroups(ctx context.Context, c *clients) ([]*armresources.ResourceGroup, error) {
	return collect(ctx, c.groups.NewListPager(nil), func(page armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup {
		return page.Value
	})
}

// printGroup shows a group as it is on the wire, as az does.
func (s *session) printGroup(group armresources.ResourceGroup) error {
	out, err := rawObject(group)
	if err != nil {
		return err
	}
	return s.print(out, groupColumns)
}

func (s *session) groupName(command *cobra.Command, into *string) {
	s.addName(command, into, nameFlag{"name", "n", "name of the resource group", groupNames})
	command.Flags().StringVarP(into, "resource-group", "g", "", "the same as --name")
	command.MarkFlagsMutuallyExclusive("name", "resource-group")
	delete(command.Flags().Lookup("name").Annotations, cobra.BashCompOneRequiredFlag)
	command.MarkFlagsOneRequired("name", "resource-group")
}

func (s *session) groupCreate() *cobra.Command {
	var name, location string
	var tags []string
	command := s.verb("create", "Create a resource group, or update its tags", func(ctx context.Context, c *clients) error {
		parsed, err := pairs("tags", tags)
		if err != nil {
			return err
		}
		group := armresources.ResourceGroup{Location: &location, Tags: parsed}
		made, err := c.groups.CreateOrUpdate(ctx, name, group, nil)
		if err != nil {
			return err
		}
		return s.printGroup(made.ResourceGroup)
	})
	s.groupName(command, &name)
	s.locationFlag(command, &location)
	command.Flags().StringArrayVar(&tags, "tags", nil, "tags, KEY=VALUE …")
	return command
}

func (s *session) groupShow() *cobra.Command {
	var name string
	command := s.verb("show", "Show a resource group", func(ctx context.Context, c *clients) error {
		found, err := c.groups.Get(ctx, name, nil)
		if err != nil {
			return err
		}
		return s.printGroup(found.ResourceGroup)
	})
	s.groupName(command, &name)
	return command
}

func (s *session) groupList() *cobra.Command {
	return s.verb("list", "List resource groups", func(ctx context.Context, c *clients) error {
		groups, err := listGroups(ctx, c)
		if err != nil {
			return err
		}
		out := make([]map[string]any, 0, len(groups))
		for _, group := range groups {
			one, err := rawObject(group)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return s.print(out, groupColumns)
	})
}

func (s *session) groupDelete() *cobra.Command {
	var name string
	var sure, dontWait *bool
	command := s.verb("delete", "Delete a resource group and everything in it", func(ctx context.Context, c *clients) error {
		if err := s.confirm(*sure, fmt.Sprintf("Delete resource group %s and every cluster in it?", name)); err != nil {
			return err
		}
		poller, err := c.groups.BeginDelete(ctx, name, nil)
		if err != nil || *dontWait {
			return err
		}
		_, err = follow(ctx, s, "Deleting resource group "+name, poller, func(ctx context.Context) (string, error) {
			found, err := c.groups.Get(ctx, name, nil)
			if err != nil || found.Properties == nil {
				return "", err
			}
			return deref(found.Properties.ProvisioningState), nil
		})
		return err
	})
	s.groupName(command, &name)
	sure, dontWait = yes(command), noWait(command)
	return command
}

func (s *session) groupExists() *cobra.Command {
	var name string
	command := s.verb("exists", "Say whether a resource group exists: true or false", func(ctx context.Context, c *clients) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		found, err := c.groups.CheckExistence(ctx, name, nil)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.streams.Out, found.Success)
		return err
	})
	s.groupName(command, &name)
	return command
}
