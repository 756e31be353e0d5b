package machine

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const (
	// annotationCordoned on a Node says that the service cordoned it. A cordon that
	// a customer set is the customer's to lift.
	annotationCordoned = "berth.dev/cordoned"
	// labelUpgradeStatus with the value quarantined is AKS's mark of a node that
	// could not be drained (upgrade-options).
	labelUpgradeStatus = "kubernetes.azure.com/upgrade-status"
	quarantined        = "Quarantined"
)

// renew notes what the machine is made of from now on. Its next incarnation joins
// with a token of its own, so that nothing of the last one can join in its place.
func (r *Reconciler) renew(ctx context.Context, s *scene, _ *outcome) error {
	if err := r.deleteTokenSecret(ctx, s); err != nil {
		return err
	}
	id, err := randomText(r.Random, tokenIDLength)
	if err != nil {
		return err
	}
	spec, status := s.object.Spec, &s.object.Status
	status.BootstrapTokenID, status.Address, status.Phase = id, "", v1beta1.MachineReimaged
	status.KubernetesVersion, status.NodeImageVersion, status.UnmanagedOS = spec.KubernetesVersion, spec.NodeImageVersion, spec.UnmanagedOS
	status.Off, status.Reconciled = nil, spec.Reconciled
	switch {
	case s.situation.Intent != Repair:
		cancelInstance(status)
	case replaces(underWay(s.object)):
		status.Phase, status.Instance.Replaced = v1beta1.MachinePending, true
	default:
		status.Phase, status.Repair.Replaced = v1beta1.MachinePending, true
	}
	if err := r.client.Status().Update(ctx, s.object); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	return nil
}

// disownNode has a Node that an earlier incarnation left behind say that nobody
// speaks for it: its last word may be that it is Ready, from an address that the
// next incarnation can get again. A kubelet that finds an address there asks for a
// certificate with it.
func (s *scene) disownNode(ctx context.Context, reason, message string) error {
	if s.node == nil || s.tenant == nil {
		return nil
	}
	before := s.node.DeepCopy()
	changed := len(s.node.Status.Addresses) > 0
	s.node.Status.Addresses = nil
	for i := range s.node.Status.Conditions {
		condition := &s.node.Status.Conditions[i]
		if condition.Type != corev1.NodeReady || condition.Status == corev1.ConditionUnknown {
			continue
		}
		condition.Status, condition.LastTransitionTime = corev1.ConditionUnknown, metav1.Now()
		condition.Reason, condition.Message = reason, message
		changed = true
	}
	if !changed {
		return nil
	}
	if err := s.tenant.Status().Patch(ctx, s.node, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("take node %s for gone: %w", s.ref.Name, err)
	}
	return nil
}

// cordon keeps new pods away from the Node.
func (r *Reconciler) cordon(ctx context.Context, s *scene, _ *outcome) error {
	if s.node.Spec.Unschedulable {
		return nil
	}
	before := s.node.DeepCopy()
	s.node.Spec.Unschedulable = true
	metav1.SetMetaDataAnnotation(&s.node.ObjectMeta, annotationCordoned, "true")
	if err := s.tenant.Patch(ctx, s.node, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("cordon node %s: %w", s.ref.Name, err)
	}
	return nil
}

// admitPods lifts the service's own cordon, unless the machine is quarantined.
func (r *Reconciler) admitPods(ctx context.Context, s *scene, out *outcome) error {
	if s.tenant == nil || s.node == nil {
		return errNoTenant
	}
	if s.object.Spec.Quarantined {
		return r.cordon(ctx, s, out)
	}
	if _, mine := s.node.Annotations[annotationCordoned]; !mine {
		return nil
	}
	before := s.node.DeepCopy()
	s.node.Spec.Unschedulable = false
	delete(s.node.Annotations, annotationCordoned)
	if err := s.tenant.Patch(ctx, s.node, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("uncordon node %s: %w", s.ref.Name, err)
	}
	return nil
}
