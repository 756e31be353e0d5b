package armtest

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// Nodes gives a cluster that was created the node resource group and the machines that
// its controllers would, and returns the name of a pool's scale set.
func (w *World) Nodes(t testing.TB, group, cluster, pool string) string {
	t.Helper()
	ctx, namespace := t.Context(), v1beta1.SubscriptionNamespace(Subscription)
	var object v1beta1.ManagedCluster
	if err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1beta1.ObjectName(group, cluster)}, &object); err != nil {
		t.Fatal(err)
	}
	spec := object.Spec
	shown := &v1beta1.ResourceGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1beta1.ObjectName(spec.NodeResourceGroup)},
		Spec: v1beta1.ResourceGroupSpec{
			Name: spec.NodeResourceGroup, Location: spec.Location, Tags: policy.NodeGroupTags(spec),
			ManagedBy: "/subscriptions/" + Subscription + "/resourceGroups/" + group + "/providers/Microsoft.ContainerService/managedClusters/" + cluster,
		},
	}
	if err := w.Client.Create(ctx, shown); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	var owner v1beta1.AgentPool
	if err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1beta1.ObjectName(group, cluster, pool)}, &owner); err != nil {
		t.Fatal(err)
	}
	for ordinal := range *owner.Spec.Count {
		made := &v1beta1.Machine{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: machine.ObjectName(owner.Name, ordinal)},
			Spec: v1beta1.MachineSpec{
				ClusterID: spec.ID, Cluster: object.Name, AgentPool: owner.Name, NodeName: machine.NodeName(pool, spec.ID, ordinal), VMSize: owner.Spec.VMSize,
				KubernetesVersion: "1.37.2", NodeImageVersion: Catalogue().NodeImageVersion, MaxPods: owner.Spec.MaxPods, OSDiskSizeGB: owner.Spec.OSDiskSizeGB,
			},
		}
		if err := w.Client.Create(ctx, made); err != nil {
			t.Fatal(err)
		}
		made.Status.Phase = v1beta1.MachineReady
		made.Status.KubernetesVersion, made.Status.NodeImageVersion = made.Spec.KubernetesVersion, made.Spec.NodeImageVersion
		if err := w.Client.Status().Update(ctx, made); err != nil {
			t.Fatal(err)
		}
	}
	return machine.ScaleSet(pool, spec.ID)
}
