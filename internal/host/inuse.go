package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/release"
)

// estate is all that versions of Kubernetes are used by.
type estate struct {
	clusters  v1beta1.ManagedClusterList
	pools     v1beta1.AgentPoolList
	machines  v1beta1.MachineList
	deleted   v1beta1.DeletedClusterList
	snapshots v1beta1.SnapshotList
	// operations are requests, some of which were taken and have not been done yet.
	operations v1beta1.OperationList
}

func readEstate(ctx context.Context, reader client.Reader) (estate, error) {
	var e estate
	// Requests first: what one of them that ends meanwhile has made is in the others.
	for _, list := range []client.ObjectList{&e.operations, &e.clusters, &e.pools, &e.machines, &e.deleted, &e.snapshots} {
		if err := reader.List(ctx, list); err != nil {
			return e, fmt.Errorf("look which versions of Kubernetes are in use: %w", err)
		}
	}
	return e, nil
}

// usage maps versions of Kubernetes to what uses them, in order.
type usage map[string][]string

func (u usage) use(user string, versions ...string) {
	for _, version := range versions {
		if version != "" && !slices.Contains(u[version], user) {
			u[version] = append(u[version], user)
		}
	}
}

// ask notes what somebody asks for and runs: also an alias such as 1.36, for a cluster that runs
// nothing yet.
func (u usage) ask(user, asked, runs string) {
	u.use(user, runs)
	if exact(asked) || runs == "" {
		u.use(user, asked)
	}
}

func exact(version string) bool { return strings.Count(version, ".") == 2 }

// meant has what aliases mean in a catalogue in their place.
func (u usage) meant(catalogue *release.Catalogue) usage {
	all := usage{}
	for _, version := range slices.Sorted(maps.Keys(u)) {
		means := version
		if !exact(version) {
			resolved, _ := catalogue.Resolve(version)
			means = resolved.Version
		}
		for _, user := range u[version] {
			all.use(user, means)
		}
	}
	return all
}

// inUse is what anything runs, is on the way to, asks for or could be brought back with. What an
// alias means is the catalogue's.
func (e estate) inUse(catalogue *release.Catalogue) usage { return e.asked().meant(catalogue) }

// asked is inUse with aliases as they are.
func (e estate) asked() usage {
	all := usage{}
	for i := range e.clusters.Items {
		spec, status := &e.clusters.Items[i].Spec, &e.clusters.Items[i].Status
		name := fmt.Sprintf("cluster %s/%s", spec.ResourceGroup, spec.Name)
		all.ask(name, spec.KubernetesVersion, status.CurrentKubernetesVersion)
		if status.Upgrade.UnderWay() {
			all.use(name, status.Upgrade.From, status.Upgrade.To)
		}
	}
	for i := range e.pools.Items {
		spec, status := &e.pools.Items[i].Spec, &e.pools.Items[i].Status
		name := fmt.Sprintf("node pool %s/%s/%s", spec.ResourceGroup, spec.ClusterName, spec.Name)
		all.ask(name, spec.OrchestratorVersion, status.CurrentOrchestratorVersion)
		if up := status.Upgrade; up != nil && up.EndTime == nil {
			all.use(name, up.OrchestratorVersion)
		}
	}
	for i := range e.machines.Items {
		machine := &e.machines.Items[i]
		all.use("node "+machine.Spec.NodeName, machine.Spec.KubernetesVersion, machine.Status.KubernetesVersion)
	}
	for i := range e.deleted.Items {
		spec := &e.deleted.Items[i].Spec
		name := fmt.Sprintf("deleted cluster %s/%s", spec.Cluster.ResourceGroup, spec.Cluster.Name)
		all.ask(name, spec.Cluster.KubernetesVersion, "")
		for _, pool := range spec.AgentPools {
			all.ask(name, pool.OrchestratorVersion, "")
		}
	}
	for i := range e.snapshots.Items {
		spec := &e.snapshots.Items[i].Spec
		all.use(fmt.Sprintf("snapshot %s/%s", spec.ResourceGroup, spec.Name), spec.KubernetesVersion)
	}
	for i := range e.operations.Items {
		op := &e.operations.Items[i]
		if desired := op.Spec.Desired; desired != nil && !operation.Finished(op) {
			all.desire("operation "+op.Name, desired)
		}
	}
	return all
}

// desire notes what a request makes, which nothing may show yet.
func (u usage) desire(user string, desired *v1beta1.DesiredState) {
	if cluster := desired.Cluster; cluster != nil {
		u.ask(user, cluster.KubernetesVersion, "")
	}
	for _, pool := range desired.AgentPools {
		u.ask(user, pool.OrchestratorVersion, "")
	}
}

// maxUsers is how many users of a version are named.
const maxUsers = 5

func named(users []string) string {
	text := strings.Join(users[:min(len(users), maxUsers)], ", ")
	if more := len(users) - maxUsers; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// tellMissing says which versions are in use that the build at hand does not have, as one of
// another directory: nothing that runs ends by that, and nothing of it can be changed or
// made again.
func (u *upper) tellMissing(ctx context.Context) error {
	e, err := readEstate(ctx, u.cluster)
	if err != nil {
		u.say("         %v", err)
		return nil // Berth is up, and the next up says it
	}
	users := e.inUse(u.artifacts.Catalogue)
	for _, version := range slices.Sorted(maps.Keys(users)) {
		if _, has := u.artifacts.Catalogue.Release(version); !has {
			u.say("         This build does not have Kubernetes %s, in use by %s: they run on and can be neither changed nor repaired.\n"+
				"         Add it: berth release add %s", version, named(users[version]), version)
		}
	}
	return nil
}
