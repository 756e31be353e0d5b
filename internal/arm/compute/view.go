package compute

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// scaleSet is a pool as its node resource group shows it.
type scaleSet struct {
	group   *v1beta1.ResourceGroup
	cluster *v1beta1.ManagedCluster
	pool    *v1beta1.AgentPool
	name    string
	// set is what was changed of it here; nil if nothing ever was.
	set *v1beta1.VirtualMachineScaleSet
	// instances are the pool's machines by their ordinals.
	instances []instance
}

// instance is a machine with its number in the scale set.
type instance struct {
	*v1beta1.Machine
	ordinal int32
}

// id is the instance's id within its scale set.
func (i instance) id() string { return strconv.Itoa(int(i.ordinal)) }

// scaleSets are all that a node resource group shows; none in any other group.
func (p provider) scaleSets(ctx context.Context, r *arm.Request, group *v1beta1.ResourceGroup) ([]scaleSet, error) {
	cluster, err := p.clusterOf(ctx, group)
	if err != nil || cluster == nil {
		return nil, err
	}
	var pools v1beta1.AgentPoolList
	var machines v1beta1.MachineList
	var changed v1beta1.VirtualMachineScaleSetList
	for _, list := range []client.ObjectList{&pools, &machines, &changed} {
		if err := p.APIReader.List(ctx, list, client.InNamespace(r.Namespace())); err != nil {
			return nil, fmt.Errorf("list scale sets of %s: %w", group.Spec.Name, err)
		}
	}
	var sets []scaleSet
	for i := range pools.Items {
		pool := &pools.Items[i]
		if v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName) != cluster.Name {
			continue
		}
		one := scaleSet{group: group, cluster: cluster, pool: pool, name: machine.ScaleSet(pool.Spec.Name, cluster.Spec.ID)}
		for j := range changed.Items {
			if changed.Items[j].Name == pool.Name {
				one.set = &changed.Items[j]
			}
		}
		one.instances = instancesOf(pool, cluster.Spec.ID, machines.Items)
		sets = append(sets, one)
	}
	return sets, nil
}

// clusterOf is the cluster whose nodes a resource group shows, nil if there is none.
func (p provider) clusterOf(ctx context.Context, group *v1beta1.ResourceGroup) (*v1beta1.ManagedCluster, error) {
	name, ok := policy.ClusterOfGroup(group)
	if !ok {
		return nil, nil
	}
	var cluster v1beta1.ManagedCluster
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: group.Namespace, Name: name}, &cluster)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read cluster of %s: %w", group.Spec.Name, err)
	case cluster.Spec.ID == "":
		return nil, nil
	}
	return &cluster, nil
}

func instancesOf(pool *v1beta1.AgentPool, clusterID string, machines []v1beta1.Machine) []instance {
	var found []instance
	for i := range machines {
		m := &machines[i]
		if ordinal, err := machine.Ordinal(m.Spec.NodeName); err == nil && m.Spec.AgentPool == pool.Name && m.Spec.ClusterID == clusterID {
			found = append(found, instance{m, ordinal})
		}
	}
	slices.SortFunc(found, func(a, b instance) int { return cmp.Compare(a.ordinal, b.ordinal) })
	return found
}

// require finds the scale set that the path names, or says that it is not there.
func (p provider) require(ctx context.Context, r *arm.Request) (*scaleSet, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	sets, err := p.scaleSets(ctx, r, group)
	if err != nil {
		return nil, err
	}
	for i := range sets {
		if strings.EqualFold(sets[i].name, r.Parameter("scaleSet")) {
			return &sets[i], nil
		}
	}
	return nil, arm.ResourceNotFound(scaleSetType, r.Parameter("scaleSet"), group.Spec.Name)
}

// requireInstance finds the instance that the path names.
func (p provider) requireInstance(ctx context.Context, r *arm.Request) (*scaleSet, instance, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, instance{}, err
	}
	for _, one := range set.instances {
		if one.id() == r.Parameter("instance") {
			return set, one, nil
		}
	}
	return set, instance{}, arm.ResourceNotFound(instanceType, set.name+"/"+r.Parameter("instance"), set.group.Spec.Name)
}

// system are the system's tags of the scale set.
func (s *scaleSet) system() map[string]string {
	return policy.ScaleSetSystemTags(s.pool.Spec.Name, s.name)
}

func (s *scaleSet) tags() map[string]string { return policy.ScaleSetTags(s.pool, s.system(), s.set) }

// capacity counts the instances that stay.
func (s *scaleSet) capacity() int {
	count := 0
	for _, one := range s.instances {
		if one.stays() {
			count++
		}
	}
	return count
}

// stays says whether nobody deletes the instance.
func (i instance) stays() bool {
	return i.DeletionTimestamp.IsZero() && (i.Spec.Requested == nil || i.Spec.Requested.Action != v1beta1.InstanceDelete)
}

func (s *scaleSet) id(r *arm.Request) string {
	return r.GroupPath(s.group.Spec.Name) + "/providers/" + scaleSetType + "/" + s.name
}

func (s *scaleSet) instanceID(r *arm.Request, one instance) string {
	return s.id(r) + "/virtualMachines/" + one.id()
}

// operations is where the provider serves the operations of a location.
func (s *scaleSet) operations(r *arm.Request) string {
	return r.SubscriptionPath() + "/providers/" + namespace + "/locations/" + arm.NormalLocation(s.cluster.Spec.Location)
}
