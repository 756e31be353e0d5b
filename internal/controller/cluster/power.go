package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// power decides whether the control plane runs. That of a cluster that is asked to
// stop goes after the last machine: only it can drain nodes (J1, AKS:
// start-stop-cluster), and so does one whose certificates are replaced. Nobody talks
// to it from then on. An upgrade that has begun ends first.
func (r *reconciler) power(ctx context.Context, p *pass) (bool, error) {
	p.found.stop = p.cluster.Spec.PowerState.Wanted() == v1beta1.PowerStopped
	if !policy.NodesAway(p.cluster) || p.found.upgrading {
		return true, nil
	}
	pools, err := r.poolsOf(ctx, r.reader, p.cluster)
	if err != nil {
		return false, err
	}
	for i := range pools {
		if pools[i].Status.PowerState.Code != v1beta1.PowerStopped {
			p.found.waitingFor = append(p.found.waitingFor, "the nodes of agent pool "+pools[i].Spec.Name)
		}
	}
	// A pool that is Stopped since an earlier stop may have made machines meanwhile.
	var machines v1beta1.MachineList
	if err := r.reader.List(ctx, &machines, client.InNamespace(p.cluster.Namespace), client.MatchingLabels{v1beta1.LabelClusterID: p.cluster.Spec.ID}); err != nil {
		return false, fmt.Errorf("list machines: %w", err)
	}
	if len(machines.Items) > 0 || len(p.found.waitingFor) > 0 {
		p.lookIn(lookAgain)
		return true, nil
	}
	p.input.Stopped = true
	r.Tenants.Drop(p.cluster.Spec.ID)
	return true, nil
}

// end ends the control plane, its API servers before the etcd that they still write
// to, and sees whether any pod of it is left.
func (r *reconciler) end(ctx context.Context, p *pass) error {
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.InNamespace(namespaceOf(p.cluster))); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		if pods.Items[i].Name == controlplane.ProvePod && !p.cluster.Status.Archive.KeepsEtcd() {
			if err := r.hasten(ctx, &pods.Items[i]); err != nil {
				return err
			}
		}
		if p.cluster.Status.Recovery.UnderWay() {
			break // etcd is dead: nobody writes to it any more
		}
		if err := r.endAPIServer(ctx, p, &pods.Items[i]); err != nil {
			return err
		}
	}
	if err := r.applier.Apply(ctx, r.client, p.input.ID, controlplane.Workloads(p.input)...); err != nil {
		return err
	}
	if p.cluster.Status.Archive != nil && p.found.stop {
		p.found.off = true // it was off before; what runs now is the archive's
		return nil
	}
	// A recovery leaves the nodes, which a cluster that is off has not.
	p.found.off = len(pods.Items) == 0 && !p.cluster.Status.Recovery.UnderWay()
	if !p.found.off {
		p.lookIn(probeAgain)
	}
	return nil
}

// endAPIServer has etcd wait for a pod that runs an API server, and removes one that
// ended by itself: no ReplicaSet does when it is scaled down.
func (r *reconciler) endAPIServer(ctx context.Context, p *pass, pod *corev1.Pod) error {
	component := pod.Labels[controlplane.LabelComponent]
	if component != controlplane.ComponentKube && component != controlplane.TrialPod {
		return nil
	}
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return r.removePod(ctx, pod)
	}
	p.input.EtcdLast = true
	return nil
}
