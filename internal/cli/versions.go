package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
)

var (
	versionColumns        = []column{{"KubernetesVersion", "kubernetesVersion"}, {"Upgrades", "upgrades"}, {"SupportPlan", "supportPlan"}}
	clusterUpgradeColumns = []column{{"Name", "name"}, {"ResourceGroup", "resourceGroup"}, {"MasterVersion", "masterVersion"}, {"Upgrades", "upgrades"}}
	poolUpgradeColumns    = []column{{"KubernetesVersion", "kubernetesVersion"}, {"LatestNodeImageVersion", "latestNodeImageVersion"}, {"OsType", "osType"}, {"Upgrades", "upgrades"}}
)

var lifeColumns = []column{
	{"Version", "version"}, {"State", "state"}, {"Default", "default"}, {"Released", "released"}, {"EndOfSupport", "endOfSupport"}, {"LtsUntil", "endOfLts"}, {"SupportPlan", "supportPlan"}, {"Upgrades", "upgrades"},
}

const noUpgrades = "None available"

func (s *session) clusterGetVersions() *cobra.Command {
	var location string
	command := s.verb("get-versions", "List the Kubernetes versions for new clusters", func(ctx context.Context, c *clients) error {
		found, err := c.clusters.ListKubernetesVersions(ctx, location, nil)
		if err != nil {
			return err
		}
		if s.output == "json" || s.output == "yaml" {
			out, err := rawObject(found.KubernetesVersionListResult)
			if err != nil {
				return err
			}
			return s.print(out, nil)
		}
		return s.print(versionRows(found.Values), versionColumns)
	})
	s.locationFlag(command, &location)
	return command
}

// versionRows has a row for each patch version, newest first.
func versionRows(minors []*armcontainerservice.KubernetesVersion) []map[string]any {
	var rows []map[string]any
	for _, minor := range minors {
		plans := []any{}
		if minor.Capabilities != nil {
			for _, plan := range minor.Capabilities.SupportPlan {
				plans = append(plans, string(deref(plan)))
			}
		}
		for version, patch := range minor.PatchVersions {
			shown := version
			if deref(minor.IsPreview) {
				shown += "(preview)"
			}
			var upgrades []string
			if patch != nil {
				for _, upgrade := range patch.Upgrades {
					upgrades = append(upgrades, deref(upgrade))
				}
			}
			rows = append(rows, map[string]any{
				"version": version, "kubernetesVersion": shown, "upgrades": upgradeText(upgrades), "supportPlan": plans,
			})
		}
	}
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return compareVersions(b["version"].(string), a["version"].(string))
	})
	return rows
}

func upgradeText(versions []string) string {
	if len(versions) == 0 {
		return noUpgrades
	}
	slices.SortFunc(versions, compareVersions)
	return strings.Join(versions, ", ")
}

// compareVersions orders 1.9 before 1.10.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		m, errM := strconv.Atoi(x)
		n, errN := strconv.Atoi(y)
		if errM != nil || errN != nil {
			return strings.Compare(x, y)
		}
		return m - n
	})
}

func (s *session) clusterGetUpgrades() *cobra.Command {
	var ref clusterRef
	command := s.verb("get-upgrades", "List the versions that a cluster can be upgraded to", func(ctx context.Context, c *clients) error {
		found, err := c.clusters.GetUpgradeProfile(ctx, ref.group, ref.name, nil)
		if err != nil {
			return err
		}
		out, err := object(found.ManagedClusterUpgradeProfile)
		if err != nil {
			return err
		}
		if s.output == "json" || s.output == "yaml" {
			return s.print(out, nil)
		}
		var upgrades []string
		version := "unknown"
		if profile := found.Properties; profile != nil && profile.ControlPlaneProfile != nil {
			version = firstOf(deref(profile.ControlPlaneProfile.KubernetesVersion), version)
			for _, upgrade := range profile.ControlPlaneProfile.Upgrades {
				upgrades = append(upgrades, deref(upgrade.KubernetesVersion))
			}
		}
		out["masterVersion"], out["upgrades"] = version, upgradeText(upgrades)
		return s.print(out, clusterUpgradeColumns)
	})
	s.clusterFlags(command, &ref, "name", "n")
	return command
}

func (s *session) nodePoolGetUpgrades() *cobra.Command {
	var ref poolRef
	command := s.verb("get-upgrades", "List the versions that a pool can be upgraded to", func(ctx context.Context, c *clients) error {
		found, err := c.pools.GetUpgradeProfile(ctx, ref.cluster.group, ref.cluster.name, ref.name, nil)
		if err != nil {
			return err
		}
		out, err := object(found.AgentPoolUpgradeProfile)
		if err != nil {
			return err
		}
		if s.output == "json" || s.output == "yaml" {
			return s.print(out, nil)
		}
		var upgrades []string
		if found.Properties != nil {
			for _, upgrade := range found.Properties.Upgrades {
				upgrades = append(upgrades, deref(upgrade.KubernetesVersion))
			}
		}
		out["upgrades"] = upgradeText(upgrades)
		return s.print(out, poolUpgradeColumns)
	})
	s.poolFlags(command, &ref, "nodepool-name", "")
	return command
}

// minorLife is a minor version as Berth answers it, with what AKS does not say.
type minorLife struct {
	Version       string                                 `json:"version"`
	IsDefault     bool                                   `json:"isDefault"`
	State         string                                 `json:"state"`
	Released      string                                 `json:"released"`
	EndOfSupport  string                                 `json:"endOfSupport"`
	EndOfLTS      string                                 `json:"endOfLts"`
	Capabilities  struct{ SupportPlan []string }         `json:"capabilities"`
	PatchVersions map[string]struct{ Upgrades []string } `json:"patchVersions"`
}

func (s *session) versionList() *cobra.Command {
	var location string
	command := s.verb("list", "List the Kubernetes versions that clusters can have: state, dates and upgrades", func(ctx context.Context, c *clients) error {
		var body struct {
			Values []minorLife `json:"values"`
		}
		err := answer(ctx, &body, func(ctx context.Context) error {
			_, err := c.clusters.ListKubernetesVersions(ctx, location, nil)
			return err
		})
		if err != nil {
			return err
		}
		return s.print(lifeRows(body.Values, s.output == "table" || s.output == "tsv"), lifeColumns)
	})
	s.locationFlag(command, &location)
	return s.common(command)
}

// lifeRows has a row for each patch, newest first.
func lifeRows(minors []minorLife, text bool) []map[string]any {
	rows := []map[string]any{}
	for _, minor := range minors {
		for version, patch := range minor.PatchVersions {
			row := map[string]any{
				"version": version, "state": minor.State, "default": minor.IsDefault, "released": minor.Released,
				"endOfSupport": minor.EndOfSupport, "endOfLts": minor.EndOfLTS,
				"supportPlan": minor.Capabilities.SupportPlan, "upgrades": patch.Upgrades,
			}
			if text {
				row["supportPlan"] = strings.Join(minor.Capabilities.SupportPlan, ", ")
				row["upgrades"], row["default"] = upgradeText(patch.Upgrades), map[bool]string{true: "yes"}[minor.IsDefault]
			}
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return compareVersions(b["version"].(string), a["version"].(string))
	})
	return rows
}
