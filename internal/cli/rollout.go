package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"
)

var (
	rolloutColumns = []column{
		{"Name", "name"}, {"State", "state"}, {"Wave", "wave"}, {"Reached", "clusters.reached"}, {"Ready", "clusters.ready"}, {"Failed", "clusters.failed"},
		{"Waiting", "clusters.waiting"}, {"Away", "clusters.away"}, {"Created", "created"}, {"Message", "message"},
	}
	waveColumns     = []column{{"Wave", "wave"}, {"Reaches", "reaches"}, {"Bake", "bake"}, {"State", "state"}}
	blockingColumns = []column{{"Wave", "wave"}, {"Phase", "phase"}, {"Since", "since"}, {"Cluster", "id"}, {"Message", "message"}}
	imageColumns    = []column{{"Component", "name"}, {"Image", "image"}}
)

// rolloutCommand is `berth rollout`, of which AKS has no like.
func (s *session) rolloutCommand() *cobra.Command {
	return s.common(noun("rollout", "Waves in which patched components reach the clusters, for engineers of the service",
		s.rolloutList(), s.rolloutShow(),
		s.rolloutChange("stop", "Stop a rollout: no more clusters are reached, and those that were keep the images"),
		s.rolloutChange("resume", "Let a rollout that is stopped go on, where it failed first"),
		s.rolloutChange("expedite", "Have a rollout wait for no maintenance windows, for a flaw that cannot wait"),
	))
}

// rollout is a call on the service's rollouts, which are in no subscription.
func rollout(method string, path ...string) call {
	return call{method: method, version: ownVersion, path: append([]string{"providers", aksNamespace, "componentRollouts"}, path...), wanted: []int{http.StatusOK}}
}

func (s *session) rolloutList() *cobra.Command {
	return s.verb("list", "List the rollouts, the newest first", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, rollout(http.MethodGet))
		if err != nil {
			return err
		}
		for i := range found {
			found[i] = flat(found[i])
		}
		return s.print(found, rolloutColumns)
	})
}

func (s *session) rolloutShow() *cobra.Command {
	var name string
	command := s.verb("show", "Show a rollout with its waves, its images, and the clusters that hold it up", func(ctx context.Context, c *clients) error {
		found, err := c.object(ctx, rollout(http.MethodGet, name))
		if err != nil {
			return err
		}
		return s.showRollout(found)
	})
	s.rolloutName(command, &name)
	return command
}

func (s *session) rolloutChange(verb, short string) *cobra.Command {
	var name string
	command := s.verb(verb, short, func(ctx context.Context, c *clients) error {
		found, err := c.object(ctx, rollout(http.MethodPost, name, verb))
		if err != nil {
			return err
		}
		return s.print(found, rolloutColumns)
	})
	s.rolloutName(command, &name)
	return command
}

func (s *session) rolloutName(command *cobra.Command, name *string) {
	s.addName(command, name, nameFlag{"name", "n", "name of the rollout", func(ctx context.Context, c *clients) ([]string, error) {
		found, err := listAll[map[string]any](ctx, c, rollout(http.MethodGet))
		names := make([]string, 0, len(found))
		for _, one := range found {
			names = append(names, textAt(one, "name"))
		}
		return names, err
	}})
}

// showRollout prints a rollout; for people its parts as tables.
func (s *session) showRollout(found map[string]any) error {
	if err := s.print(found, rolloutColumns); err != nil || s.output != "table" {
		return err
	}
	images, _ := found["images"].(map[string]any)
	var rows []map[string]any
	for _, name := range slices.Sorted(maps.Keys(images)) {
		rows = append(rows, map[string]any{"name": name, "image": images[name]})
	}
	for _, part := range []struct {
		rows    []map[string]any
		columns []column
	}{{rows, imageColumns}, {objectsAt(found, "waves"), waveColumns}, {objectsAt(found, "blocking"), blockingColumns}} {
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
