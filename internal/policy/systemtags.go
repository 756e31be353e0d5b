package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
)

// The tags that the service puts on a cluster's resources (AKS: use-tags). None of them
// changes in the life of what it is on.
const (
	TagClusterName  = "aks-managed-cluster-name"
	TagClusterGroup = "aks-managed-cluster-rg"
	TagPoolName     = "aks-managed-poolName"
	TagNameSuffix   = "aks-managed-resourceNameSuffix"
)

// NodeGroupTags are the system's tags of a cluster's node resource group.
func NodeGroupTags(cluster v1beta1.ManagedClusterSpec) map[string]string {
	return map[string]string{TagClusterName: cluster.Name, TagClusterGroup: cluster.ResourceGroup}
}

// ClusterOfGroup is the object name of the cluster whose nodes a resource group shows (G1).
func ClusterOfGroup(group *v1beta1.ResourceGroup) (string, bool) {
	parts := strings.Split(strings.Trim(group.Spec.ManagedBy, "/"), "/")
	if len(parts) != 8 {
		return "", false
	}
	return v1beta1.ObjectName(parts[3], parts[7]), true
}

// RecordTags is the content of AnnotationSystemTags.
func RecordTags(tags map[string]string) string {
	text, _ := json.Marshal(tags) // a map of strings has no way to fail
	return string(text)
}

// TagsRecorded says whether a node resource group was given these tags by the service:
// only then does their lack tell anything (B4).
func TagsRecorded(group *v1beta1.ResourceGroup, system map[string]string) bool {
	return group.Annotations[v1beta1.AnnotationSystemTags] == RecordTags(system)
}

// ScaleSetSystemTags are the system's tags of a pool's scale set, which is named
// aks-<pool>-<suffix>-vmss.
func ScaleSetSystemTags(pool, scaleSet string) map[string]string {
	suffix := strings.TrimSuffix(strings.TrimPrefix(scaleSet, "aks-"+pool+"-"), "-vmss")
	return map[string]string{TagPoolName: pool, TagNameSuffix: suffix}
}

// ScaleSetTags are the tags that a pool's scale set has: those that were set through the
// IaaS view since the pool was last changed through the service, or else the pool's own
// and the system's. Set is nil where nothing was ever set.
func ScaleSetTags(pool *v1beta1.AgentPool, system map[string]string, set *v1beta1.VirtualMachineScaleSet) map[string]string {
	if set != nil && set.Spec.PoolOperation == PoolAttempt(pool) {
		return set.Spec.Tags
	}
	return WithSystemTags(pool.Spec.Tags, system)
}

// WithSystemTags are the customer's tags and the system's. Tags are named without case: one
// of the customer's that is named as one of the system's is not there.
func WithSystemTags(own, system map[string]string) map[string]string {
	tags := maps.Clone(system)
	for name, value := range own {
		same := func(reserved string) bool { return strings.EqualFold(reserved, name) }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(system)), same) {
			tags[name] = value
		}
	}
	return tags
}

// PoolAttempt names what a pool is asked for, so that the same twice has two names.
func PoolAttempt(pool *v1beta1.AgentPool) string {
	return fmt.Sprintf("%d/%s", pool.Generation, pool.Annotations[v1beta1.AnnotationOperation])
}

// ChangedTags are the names of the system's tags that are not there as the system made
// them, in order. Tags are named without case; others are the customer's (B4).
func ChangedTags(have, system map[string]string) []string {
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		values[strings.ToLower(name)] = have[name]
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(system)) {
		value, there := have[name]
		if !there {
			value, there = values[strings.ToLower(name)]
		}
		if !there || value != system[name] {
			changed = append(changed, name)
		}
	}
	return changed
}

// RecordedTags are the system's tags that a node resource group was given by the service,
// none if it was given none.
func RecordedTags(group *v1beta1.ResourceGroup) map[string]string {
	var tags map[string]string
	// A record that cannot be read is none, as for TagsRecorded.
	_ = json.Unmarshal([]byte(group.Annotations[v1beta1.AnnotationSystemTags]), &tags)
	return tags
}

// WhoChanged says whom a change of tags is put down to, given who changed them before, how
// they were then, and who changes them now. Whoever changed the system's stays named for as
// long as they are not as the system made them (B4).
func WhoChanged(earlier v1beta1.TagsChanged, before, system map[string]string, now v1beta1.TagsChanged) v1beta1.TagsChanged {
	if !earlier.Time.IsZero() && len(ChangedTags(before, system)) > 0 {
		return earlier
	}
	return now
}
