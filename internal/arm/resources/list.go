package resources

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

const clusterType = "Microsoft.ContainerService/managedClusters"

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
	var clusters v1beta1.ManagedClusterList
	if err := p.APIReader.List(ctx, &clusters, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var items []arm.Item
	for i := range clusters.Items {
		cluster := &clusters.Items[i]
		fields := map[string]string{
			"resourceGroup": cluster.Spec.ResourceGroup, "resourceType": clusterType, "name": cluster.Spec.Name, "location": cluster.Spec.Location,
		}
		if wanted.accepts(fields, cluster.Spec.Tags) {
			items = append(items, arm.Item{Key: cluster.Name, Body: renderResource(r, cluster)})
		}
	}
	return p.Page(r, items)
}

func renderResource(r *arm.Request, cluster *v1beta1.ManagedCluster) map[string]any {
	body := map[string]any{
		"id":   r.GroupPath(cluster.Spec.ResourceGroup) + "/providers/" + clusterType + "/" + cluster.Spec.Name,
		"name": cluster.Spec.Name, "type": clusterType, "location": arm.NormalLocation(cluster.Spec.Location),
	}
	if len(cluster.Spec.Tags) > 0 {
		body["tags"] = cluster.Spec.Tags
	}
	if strings.Contains(r.Query("$expand"), "provisioningState") {
		body["provisioningState"] = cluster.Status.ProvisioningState
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
