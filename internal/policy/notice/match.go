// Package notice matches what is published once, advisories (H1, H2) and known issues
// (M1, M2), to the clusters that it touches, and says what is done about it there. It is
// pure.
package notice

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/clause"
	"berth.dev/berth/internal/policy/vulnerability"
	"berth.dev/berth/internal/release"
)

// The clauses that a part of a cluster comes under.
const (
	component clause.ID = "H1" // the service patches it
	node      clause.ID = "H2" // the owners are told, and upgrade
)

// Cluster is what of a cluster may be affected.
type Cluster struct {
	// Kubernetes is the version of its control plane, and Components the tags of its
	// managed components by their names.
	Kubernetes string
	Components map[string]string
	Pools      []Pool
	// Conditions are the types of those that are True.
	Conditions []string
}

// Pool is a node pool.
type Pool struct {
	Name, Kubernetes, NodeImage string
	// SelfPatched says that its nodes patch their operating system themselves (AKS:
	// nodeOSUpgradeChannel Unmanaged).
	SelfPatched bool
}

// Observe collects what of a cluster may be affected. The managed components on its
// nodes are those that were applied last: a stopped cluster has what it was stopped with.
func Observe(cluster *v1beta1.ManagedCluster, pools []v1beta1.AgentPool, catalogue *release.Catalogue) Cluster {
	c := Cluster{Kubernetes: cluster.Status.CurrentKubernetesVersion, Components: vulnerability.TagsIn(catalogue, cluster)}
	for i := range pools {
		pool := &pools[i]
		if pool.DeletionTimestamp.IsZero() && pool.Status.NodeImageVersion != "" {
			c.Pools = append(c.Pools, Pool{pool.Spec.Name, pool.Status.CurrentOrchestratorVersion, pool.Status.NodeImageVersion, pool.Status.UnmanagedOS})
		}
	}
	slices.SortFunc(c.Pools, func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
	for _, one := range cluster.Status.Conditions {
		if meta.IsStatusConditionTrue(cluster.Status.Conditions, one.Type) {
			c.Conditions = append(c.Conditions, one.Type)
		}
	}
	return c
}

// Hit is one part of a cluster that is affected.
type Hit struct {
	Clause clause.ID
	// Part names it, such as "node pool a", and Has is what it has.
	Part, Has string
	// Cure is the newest version for it that is not affected, which the cluster can have
	// now; empty if there is none yet.
	Cure string
	// Patched is a version of a component that is not affected and has not reached the
	// cluster; empty if there is none yet.
	Patched string
	// SelfPatched says that it is a package of an operating system that its nodes patch
	// themselves: they may have the fix, whatever their image has.
	SelfPatched bool
}

// Match finds what of a cluster is affected, nil if nothing is. What the catalogue does
// not know of is not taken for affected, but where a range holds whatever comes.
func Match(affected *v1beta1.Affected, c Cluster, catalogue *release.Catalogue) []Hit {
	if affected.Condition != "" && !slices.Contains(c.Conditions, affected.Condition) {
		return nil
	}
	var hits []Hit
	tags := vulnerability.Tags(catalogue)
	for _, part := range affected.Components {
		if has := c.Components[part.Name]; has != "" && within(part.AffectedRange, has, vulnerability.CompareVersions) {
			hit := Hit{Clause: component, Part: "component " + part.Name, Has: has}
			if newest := tags[part.Name]; newest != "" && !within(part.AffectedRange, newest, vulnerability.CompareVersions) {
				hit.Patched = newest
			}
			hits = append(hits, hit)
		}
	}
	if inAny(affected.Kubernetes, c.Kubernetes, release.Compare) {
		hits = append(hits, Hit{Clause: component, Part: "the control plane", Has: "Kubernetes " + c.Kubernetes, Cure: kubernetesCure(affected, c.Kubernetes, catalogue)})
	}
	for _, pool := range c.Pools {
		hits = append(hits, poolHits(affected, pool, catalogue)...)
	}
	return hits
}

// poolHits are those of a node pool.
func poolHits(affected *v1beta1.Affected, pool Pool, catalogue *release.Catalogue) []Hit {
	var hits []Hit
	part := "node pool " + pool.Name
	if inAny(affected.Kubernetes, pool.Kubernetes, release.Compare) {
		hits = append(hits, Hit{Clause: node, Part: part, Has: "Kubernetes " + pool.Kubernetes, Cure: kubernetesCure(affected, pool.Kubernetes, catalogue)})
	}
	kinds := []imageParts{allParts}
	if pool.SelfPatched {
		// Packages are their owners' to patch there, and all else comes with an image.
		kinds = []imageParts{osPackages, builtParts}
	}
	for _, of := range kinds {
		has := imageHas(affected, pool.NodeImage, of, catalogue)
		if has == "" {
			continue
		}
		hit := Hit{Clause: node, Part: part, Has: has, SelfPatched: of == osPackages}
		if imageHas(affected, catalogue.NodeImageVersion, of, catalogue) == "" {
			hit.Cure = catalogue.NodeImageVersion
		}
		hits = append(hits, hit)
	}
	return hits
}

// imageParts are parts of a node image.
type imageParts int

const (
	allParts imageParts = iota
	// osPackages are the packages of its operating system, and builtParts the rest.
	osPackages
	builtParts
)

// imageHas says which of these parts of a node image is affected, or nothing.
func imageHas(affected *v1beta1.Affected, version string, of imageParts, catalogue *release.Catalogue) string {
	if of != osPackages && inAny(affected.NodeImages, version, release.CompareNodeImages) {
		return "node image " + version
	}
	image, known := catalogue.NodeImage(version)
	if !known {
		return ""
	}
	for _, part := range affected.Packages {
		has, kind := image.Packages[part.Name], osPackages
		if has == "" {
			has, kind = image.Components[part.Name], builtParts
		}
		asked := of == allParts || of == kind
		if asked && has != "" && within(part.AffectedRange, has, vulnerability.CompareVersions) {
			return fmt.Sprintf("%s %s in node image %s", part.Name, has, version)
		}
	}
	return ""
}

// kubernetesCure is the newest patch of a version's minor, if it is not affected.
func kubernetesCure(affected *v1beta1.Affected, version string, catalogue *release.Catalogue) string {
	latest, ok := catalogue.LatestPatch(release.Minor(version))
	if !ok || inAny(affected.Kubernetes, latest.Version, release.Compare) {
		return ""
	}
	return latest.Version
}

func inAny(ranges []v1beta1.AffectedRange, version string, compare func(a, b string) int) bool {
	return version != "" && slices.ContainsFunc(ranges, func(r v1beta1.AffectedRange) bool { return within(r, version, compare) })
}

func within(r v1beta1.AffectedRange, version string, compare func(a, b string) int) bool {
	return (r.From == "" || compare(version, r.From) >= 0) && (r.Fixed == "" || compare(version, r.Fixed) < 0)
}

// Evidence says in words what of a cluster is affected.
func Evidence(hits []Hit) string {
	words := make([]string, 0, len(hits))
	for _, hit := range hits {
		words = append(words, hit.Part+" has "+hit.Has)
	}
	return strings.Join(words, "; ")
}
