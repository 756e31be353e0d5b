package cluster

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// deletedGrace is how long the pods of a deleted cluster get to end, in seconds:
// nothing of theirs is kept.
const deletedGrace = 1

// deletePools deletes the pools and waits until their machines are gone.
func (r *reconciler) deletePools(ctx context.Context, p *pass) (bool, error) {
	pools, err := r.poolsOf(ctx, r.reader, p.cluster)
	if err != nil {
		return false, err
	}
	for i := range pools {
		if !pools[i].DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.client.Delete(ctx, &pools[i]); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("delete agent pool %s: %w", pools[i].Name, err)
		}
	}
	return len(pools) == 0, nil
}

// deleteControlPlane ends the pods itself: a namespace would give them all of their
// grace, and look at them again after half of it.
func (r *reconciler) deleteControlPlane(ctx context.Context, p *pass) (bool, error) {
	if p.cluster.Spec.ID == "" {
		return true, nil
	}
	namespace := namespaceOf(p.cluster)
	if err := r.deleteWorkloads(ctx, namespace); err != nil {
		return false, err
	}
	r.applier.Forget(p.cluster.Spec.ID)
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return false, fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		if err := r.hasten(ctx, &pods.Items[i]); err != nil {
			return false, err
		}
	}
	if len(pods.Items) > 0 {
		p.lookIn(lookAgain)
	}
	return len(pods.Items) == 0, nil
}

// deleteWorkloads deletes what would make pods again, and leaves the pods: whoever
// deleted them for it would give them all of their grace, in which an API server
// waits for an etcd that has ended.
func (r *reconciler) deleteWorkloads(ctx context.Context, namespace string) error {
	workloads := []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controlplane.KubeDeployment}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controlplane.EtcdStatefulSet}},
	}
	var sets appsv1.ReplicaSetList
	if err := r.reader.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list replica sets: %w", err)
	}
	for i := range sets.Items {
		workloads = append(workloads, &sets.Items[i])
	}
	for _, object := range workloads {
		err := r.reader.Get(ctx, client.ObjectKeyFromObject(object), object)
		if err == nil && object.GetDeletionTimestamp().IsZero() {
			err = r.client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationOrphan))
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s: %w", object.GetName(), err)
		}
	}
	return nil
}

// hasten ends a pod within deletedGrace, also one that its owner's end gave longer.
func (r *reconciler) hasten(ctx context.Context, pod *corev1.Pod) error {
	if grace := pod.DeletionGracePeriodSeconds; grace != nil && *grace <= deletedGrace {
		return nil
	}
	uid := pod.UID
	err := r.client.Delete(ctx, pod, client.GracePeriodSeconds(deletedGrace), client.Preconditions{UID: &uid})
	if apierrors.IsConflict(err) {
		return nil // another pod has its name by now
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	return nil
}

// deleteVolumes deletes the claims and waits until the provisioner has removed
// the data.
func (r *reconciler) deleteVolumes(ctx context.Context, p *pass) (bool, error) {
	if p.cluster.Spec.ID == "" {
		return true, nil
	}
	namespace := namespaceOf(p.cluster)
	var claims corev1.PersistentVolumeClaimList
	if err := r.reader.List(ctx, &claims, client.InNamespace(namespace)); err != nil {
		return false, fmt.Errorf("list claims: %w", err)
	}
	for i := range claims.Items {
		if !claims.Items[i].DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.client.Delete(ctx, &claims.Items[i]); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("delete claim %s: %w", claims.Items[i].Name, err)
		}
	}
	left, err := r.volumesOf(ctx, namespace)
	if err != nil {
		return false, err
	}
	if len(claims.Items)+left > 0 {
		p.lookIn(lookAgain)
		return false, nil
	}
	return true, nil
}

// volumesOf counts the volumes that a namespace's claims were bound to. One that was kept
// of a member of etcd goes too. A volume whose class retains it is left to the operator.
func (r *reconciler) volumesOf(ctx context.Context, namespace string) (int, error) {
	var volumes corev1.PersistentVolumeList
	if err := r.reader.List(ctx, &volumes); err != nil {
		return 0, fmt.Errorf("list volumes: %w", err)
	}
	count := 0
	for _, volume := range volumes.Items {
		claim := volume.Spec.ClaimRef
		if claim == nil || claim.Namespace != namespace {
			continue
		}
		if err := r.letGoVolume(ctx, &volume); err != nil {
			return 0, err
		}
		if volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
			count++
		}
	}
	return count, nil
}

// dropNamespaces begins to remove the namespaces, from which the machines are gone.
// Kubernetes leaves what is in a namespace alone for five seconds after its deletion:
// the control plane ends meanwhile, and its volume goes.
func (r *reconciler) dropNamespaces(ctx context.Context, p *pass) (bool, error) {
	_, err := r.namespacesLeft(ctx, p)
	return err == nil, err
}

// namespacesLeft deletes the cluster's namespaces, and counts those that are not gone.
func (r *reconciler) namespacesLeft(ctx context.Context, p *pass) (int, error) {
	if p.cluster.Spec.ID == "" {
		return 0, nil
	}
	left := 0
	for _, name := range []string{namespaceOf(p.cluster), v1beta1.MachineNamespace(p.cluster.Spec.ID)} {
		gone, err := r.dropNamespace(ctx, name)
		if err != nil {
			return left, err
		}
		if !gone {
			left++
		}
	}
	return left, nil
}

// dropNamespace deletes a namespace, and says whether it is gone.
func (r *reconciler) dropNamespace(ctx context.Context, name string) (bool, error) {
	var namespace corev1.Namespace
	err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read namespace %s: %w", name, err)
	}
	if !namespace.DeletionTimestamp.IsZero() {
		return false, nil
	}
	if err := r.client.Delete(ctx, &namespace); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return false, nil
}

// deleteNamespaces waits until nothing is left.
func (r *reconciler) deleteNamespaces(ctx context.Context, p *pass) (bool, error) {
	left, err := r.namespacesLeft(ctx, p)
	if left > 0 {
		p.lookIn(lookAgain)
	}
	return err == nil && left == 0, err
}
