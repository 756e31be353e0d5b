package resources

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

const (
	clusterType  = "Microsoft.ContainerService/managedClusters"
	snapshotType = "Microsoft.ContainerService/snapshots"
	scaleSetType = "Microsoft.Compute/virtualMachineScaleSets"
)

// resource is what all lists show of a cluster or snapshot.
type resource struct {
	key, kind, group, name, location string
	tags                             map[string]string
	state                            v1beta1.ProvisioningState
}

// listResources lists what is in the subscription, or in one of its groups.
func (p provider) listResources(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	wanted, err := parseFilter(r.Query("$filter"), "resourceGroup", "resourceType", "name", "location", "tagName", "tagValue")
	if err != nil {
		return nil, err
	}
	if r.Parameter("group") != "" {
		group, err := p.Group(ctx, r)
		if err != nil {
			return nil, err
		}
		wanted["resourceGroup"] = group.Spec.Name
	}
	all, err := p.allResources(ctx, r)
	if err != nil {
		return nil, err
	}
	var items []arm.Item
	for _, one := range all {
		fields := map[string]string{"resourceGroup": one.group, "resourceType": one.kind, "name": one.name, "location": one.location}
		if wanted.accepts(fields, one.tags) {
			items = append(items, arm.Item{Key: one.key, Body: renderResource(r, one)})
		}
	}
	return p.Page(r, items)
}

func (p provider) allResources(ctx context.Context, r *arm.Request) ([]resource, error) {
	var clusters v1beta1.ManagedClusterList
	var snapshots v1beta1.SnapshotList
	var pools v1beta1.AgentPoolList
	var sets v1beta1.VirtualMachineScaleSetList
	for _, list := range []client.ObjectList{&clusters, &snapshots, &pools, &sets} {
		if err := p.APIReader.List(ctx, list, client.InNamespace(r.Namespace())); err != nil {
			return nil, fmt.Errorf("list resources: %w", err)
		}
	}
	var all []resource
	for i := range clusters.Items {
		spec := &clusters.Items[i].Spec
		all = append(all, resource{clusters.Items[i].Name, clusterType, spec.ResourceGroup, spec.Name, spec.Location, spec.Tags, clusters.Items[i].Status.ProvisioningState})
	}
	for i := range snapshots.Items {
		spec := &snapshots.Items[i].Spec
		// A cluster and a snapshot may have the same name.
		all = append(all, resource{snapshots.Items[i].Name + "/snapshot", snapshotType, spec.ResourceGroup, spec.Name, spec.Location, spec.Tags, v1beta1.StateSucceeded})
	}
	return append(all, scaleSets(clusters.Items, pools.Items, sets.Items)...), nil
}

// scaleSets are those of the clusters' pools, in the node resource groups (G1).
func scaleSets(clusters []v1beta1.ManagedCluster, pools []v1beta1.AgentPool, sets []v1beta1.VirtualMachineScaleSet) []resource {
	var all []resource
	for i := range clusters {
		cluster := &clusters[i].Spec
		for j := range pools {
			pool := &pools[j]
			if cluster.ID == "" || cluster.NodeResourceGroup == "" || v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName) != clusters[i].Name {
				continue
			}
			name := machine.ScaleSet(pool.Spec.Name, cluster.ID)
			var set *v1beta1.VirtualMachineScaleSet
			if at := slices.IndexFunc(sets, func(one v1beta1.VirtualMachineScaleSet) bool { return one.Name == pool.Name }); at >= 0 {
				set = &sets[at]
			}
			tags := policy.ScaleSetTags(pool, policy.ScaleSetSystemTags(pool.Spec.Name, name), set)
			all = append(all, resource{pool.Name + "/scaleset", scaleSetType, cluster.NodeResourceGroup, name, cluster.Location, tags, v1beta1.StateSucceeded})
		}
	}
	return all
}

func renderResource(r *arm.Request, one resource) map[string]any {
	body := map[string]any{
		"id":   r.GroupPath(one.group) + "/providers/" + one.kind + "/" + one.name,
		"name": one.name, "type": one.kind, "location": arm.NormalLocation(one.location),
	}
	if len(one.tags) > 0 {
		body["tags"] = one.tags
	}
	if strings.Contains(r.Query("$expand"), "provisioningState") {
		body["provisioningState"] = one.state
	}
	return body
}

// filter is what a $filter asks for: names of fields and the values they must have.
type filter map[string]string

var (
	conjunction = regexp.MustCompile(`(?i)\s+and\s+`)
	equality    = regexp.MustCompile(`(?i)^\(?\s*(\w+)\s+eq\s+'([^']*)'\s*\)?$`)
)

// parseFilter reads "field eq 'value'" terms joined by "and". Any other filter is
// refused: a list that ignores its filter would be wrong.
func parseFilter(text string, known ...string) (filter, error) {
	wanted := filter{}
	if strings.TrimSpace(text) == "" {
		return wanted, nil
	}
	for _, term := range conjunction.Split(strings.TrimSpace(text), -1) {
		parts := equality.FindStringSubmatch(term)
		field := ""
		for _, name := range known {
			if parts != nil && strings.EqualFold(name, parts[1]) {
				field = name
			}
		}
		if field == "" {
			return nil, arm.Errorf(400, "InvalidFilterInQueryString",
				"Invalid $filter specified in the query string. Supported are terms such as \"%s eq 'value'\" joined by 'and', for: %s.", known[0], strings.Join(known, ", "))
		}
		wanted[field] = parts[2]
	}
	return wanted, nil
}

func (f filter) accepts(fields, tags map[string]string) bool {
	for name, want := range f {
		switch name {
		case "tagName":
			value, tagged := lookup(tags, want)
			if asked, both := f["tagValue"]; !tagged || both && value != asked {
				return false
			}
		case "tagValue":
			if _, both := f["tagName"]; !both {
				return false
			}
		case "location":
			if arm.NormalLocation(fields[name]) != arm.NormalLocation(want) {
				return false
			}
		default:
			if !strings.EqualFold(fields[name], want) {
				return false
			}
		}
	}
	return true
}

func lookup(tags map[string]string, name string) (string, bool) {
	for key, value := range tags {
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}
