package cli

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// lockVersion is the api-version of locks that the SDKs use.
const lockVersion = "2020-05-01"

var lockColumns = []column{{"Level", "level"}, {"Name", "name"}, {"ResourceGroup", "resourceGroup"}, {"Scope", "scope"}, {"Notes", "notes"}}

// lockCommand is `berth lock`, with the verbs and flags of `az lock`.
func (s *session) lockCommand() *cobra.Command {
	return s.common(noun("lock", "Locks that keep a subscription, a resource group or a resource from being deleted or changed",
		s.lockCreate(), s.lockUpdate(), s.lockShow(), s.lockList(), s.lockDelete()))
}

// lockScope is what is locked: the subscription if all is empty.
type lockScope struct{ group, namespace, parent, kind, resource, cluster string }

func (s *session) lockScopeFlags(command *cobra.Command, at *lockScope) {
	flags := command.Flags()
	flags.StringVarP(&at.group, "resource-group", "g", "", "resource group; the lock is the subscription's if not given")
	flags.StringVar(&at.cluster, "cluster-name", "", "cluster; the lock is the resource group's if not given")
	flags.StringVar(&at.resource, "resource-name", "", "resource of any kind, with --resource-type")
	flags.StringVar(&at.kind, "resource-type", "", "its type, such as Microsoft.ContainerService/managedClusters")
	flags.StringVar(&at.namespace, "namespace", "", "namespace of its type, if --resource-type has none")
	flags.StringVar(&at.parent, "parent", "", "what it is in, such as managedClusters/demo for agentPools")
	command.MarkFlagsMutuallyExclusive("cluster-name", "resource-name")
	command.MarkFlagsRequiredTogether("resource-name", "resource-type")
}

// path is the scope's, below the subscription.
func (l lockScope) path() ([]string, error) {
	switch {
	case l.group == "" && (l.cluster != "" || l.resource != ""):
		return nil, usageError{errors.New("--resource-group is missing: it says where the resource is")}
	case l.group == "":
		return nil, nil
	}
	path := []string{"resourceGroups", l.group}
	switch {
	case l.cluster != "":
		return append(path, "providers", "Microsoft.ContainerService", "managedClusters", l.cluster), nil
	case l.resource == "":
		return path, nil
	}
	namespace, kind := l.namespace, l.kind
	if namespace == "" {
		before, after, found := strings.Cut(l.kind, "/")
		if !found {
			return nil, usageError{errors.New("--resource-type has no namespace: give --namespace, or both as in Microsoft.ContainerService/managedClusters")}
		}
		namespace, kind = before, after
	}
	path = append(path, "providers", namespace)
	path = append(path, strings.FieldsFunc(l.parent, func(r rune) bool { return r == '/' })...)
	return append(path, kind, l.resource), nil
}

// lockPath is that of a scope's locks, or of one of them.
func (l lockScope) lockPath(name ...string) ([]string, error) {
	path, err := l.path()
	return slices.Concat(path, []string{"providers", "Microsoft.Authorization", "locks"}, name), err
}

func (s *session) lockName(command *cobra.Command, name *string, at *lockScope) {
	s.lockScopeFlags(command, at)
	s.addName(command, name, nameFlag{"name", "n", "name of the lock", func(ctx context.Context, c *clients) ([]string, error) {
		locks, err := listLocks(ctx, c, *at)
		names := make([]string, 0, len(locks))
		for _, lock := range locks {
			names = append(names, textAt(lock, "name"))
		}
		return names, err
	}})
}

// listLocks lists the locks at, above and below a scope, each with the id of what it locks.
func listLocks(ctx context.Context, c *clients, at lockScope) ([]map[string]any, error) {
	path, err := at.lockPath()
	if err != nil {
		return nil, err
	}
	found, err := listAll[map[string]any](ctx, c, c.of(http.MethodGet, lockVersion, path...))
	for i := range found {
		found[i] = lockRow(found[i])
	}
	return found, err
}

func lockRow(lock map[string]any) map[string]any {
	row := flat(lock)
	row["scope"], _, _ = strings.Cut(textAt(row, "id"), "/providers/Microsoft.Authorization/")
	return row
}

// lock sends a request about one lock, whose path is below the subscription, and returns it.
func (c *clients) lock(ctx context.Context, asked call) (map[string]any, error) {
	at := c.of(asked.method, lockVersion, asked.path...)
	at.body, at.wanted = asked.body, asked.wanted
	return c.answer(ctx, at)
}

func (s *session) printLock(lock map[string]any, err error) error {
	if err != nil {
		return err
	}
	return s.print(lockRow(lock), lockColumns)
}

func levelFlag(command *cobra.Command, level *string) {
	command.Flags().StringVarP(level, "lock-type", "t", "", "CanNotDelete or ReadOnly")
	offer(command, "lock-type", "CanNotDelete", "ReadOnly")
}

func (s *session) lockCreate() *cobra.Command {
	var at lockScope
	var name, level, notes string
	command := s.verb("create", "Lock a subscription, a resource group or a resource, and all that is below it", func(ctx context.Context, c *clients) error {
		path, err := at.lockPath(name)
		if err != nil {
			return err
		}
		body := map[string]any{"properties": map[string]any{"level": level, "notes": notes}}
		return s.printLock(c.lock(ctx, call{method: http.MethodPut, wanted: []int{http.StatusOK, http.StatusCreated}, body: body, path: path}))
	})
	s.lockName(command, &name, &at)
	levelFlag(command, &level)
	command.Flags().StringVar(&notes, "notes", "", "what the lock is for")
	must(command, "lock-type")
	return command
}

func (s *session) lockUpdate() *cobra.Command {
	var at lockScope
	var name, level, notes string
	var command *cobra.Command
	command = s.verb("update", "Change what a lock refuses, or its notes", func(ctx context.Context, c *clients) error {
		path, err := at.lockPath(name)
		if err != nil {
			return err
		}
		lock, err := c.lock(ctx, call{method: http.MethodGet, wanted: []int{http.StatusOK}, path: path})
		if err != nil {
			return err
		}
		properties, _ := lock["properties"].(map[string]any)
		if command.Flags().Changed("lock-type") {
			properties["level"] = level
		}
		if command.Flags().Changed("notes") {
			properties["notes"] = notes
		}
		return s.printLock(c.lock(ctx, call{method: http.MethodPut, wanted: []int{http.StatusOK}, body: lock, path: path}))
	})
	s.lockName(command, &name, &at)
	levelFlag(command, &level)
	command.Flags().StringVar(&notes, "notes", "", "what the lock is for")
	return command
}

func (s *session) lockShow() *cobra.Command {
	var at lockScope
	var name string
	command := s.verb("show", "Show a lock", func(ctx context.Context, c *clients) error {
		path, err := at.lockPath(name)
		if err != nil {
			return err
		}
		return s.printLock(c.lock(ctx, call{method: http.MethodGet, wanted: []int{http.StatusOK}, path: path}))
	})
	s.lockName(command, &name, &at)
	return command
}

func (s *session) lockList() *cobra.Command {
	var at lockScope
	command := s.verb("list", "List the locks of a scope, those that it inherits, and those below it", func(ctx context.Context, c *clients) error {
		locks, err := listLocks(ctx, c, at)
		if err != nil {
			return err
		}
		return s.print(locks, lockColumns)
	})
	s.lockScopeFlags(command, &at)
	return command
}

func (s *session) lockDelete() *cobra.Command {
	var at lockScope
	var name string
	command := s.verb("delete", "Remove a lock", func(ctx context.Context, c *clients) error {
		path, err := at.lockPath(name)
		if err != nil {
			return err
		}
		// ARM takes the deletion of what is not there for done; whoever types a name wants to hear of it.
		if _, err := c.lock(ctx, call{method: http.MethodGet, wanted: []int{http.StatusOK}, path: path}); err != nil {
			return err
		}
		return c.remove(ctx, lockVersion, path...)
	})
	s.lockName(command, &name, &at)
	return command
}
