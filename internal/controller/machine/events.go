package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
)

// eventSource is what AKS's node events come from.
const eventSource = "upgrader"

// news is an event on a Node (AKS: upgrade-aks-node-pools-rolling).
type news struct{ kind, reason, message string }

// newsOf is what a change of phase means for the node's owner; empty for nothing.
func newsOf(object *v1beta1.Machine, intent Intent, before *v1beta1.MachineStatus) news {
	node, status := object.Spec.NodeName, object.Status
	switch {
	case intent == Keep && status.Phase == v1beta1.MachineReady && object.Spec.Surge && before.DrainEnded == nil:
		return news{corev1.EventTypeNormal, "Surge", fmt.Sprintf("Created a surge node [%s] for agentpool %s", node, poolName(object))}
	case intent == Keep && status.Phase == v1beta1.MachineReady && before.DrainEnded != nil:
		return news{corev1.EventTypeNormal, "Upgrade", "Successfully reimaged node: " + node}
	case intent == Drain && status.Phase == v1beta1.MachineDeleting && object.Spec.Surge:
		return news{corev1.EventTypeNormal, "Upgrade", "Removing surge node: " + node}
	case intent != Reimage:
		return news{}
	}
	switch status.Phase {
	case v1beta1.MachineDraining:
		if status.DrainBlocker != "" {
			return news{corev1.EventTypeWarning, "Drain", fmt.Sprintf("Eviction blocked on node %s for now: %s", node, status.DrainBlocker)}
		}
		return news{corev1.EventTypeNormal, "Drain", "Draining node: " + node}
	case v1beta1.MachineBlocked:
		return news{corev1.EventTypeWarning, "Drain", fmt.Sprintf("Eviction blocked on node %s: %s", node, status.DrainBlocker)}
	case v1beta1.MachineReimaged:
		return news{corev1.EventTypeNormal, "Upgrade", fmt.Sprintf("Reimaging node %s with Kubernetes %s, node image %s",
			node, object.Spec.KubernetesVersion, object.Spec.NodeImageVersion)}
	}
	return news{}
}

// tell puts an event on the Node.
func (r *Reconciler) tell(ctx context.Context, s *scene, before *v1beta1.MachineStatus) {
	if what := newsOf(s.object, s.situation.Intent, before); what.reason != "" {
		r.emit(ctx, s, eventSource, what, fmt.Sprint(s.object.Generation, s.object.Status.Phase, what.kind))
	}
}

// emit writes an event, once for each occasion. It is for people and never holds a
// machine up.
func (r *Reconciler) emit(ctx context.Context, s *scene, source string, what news, occasion string) {
	if s.tenant == nil || s.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, evictionTimeout)
	defer cancel()
	now := metav1.NewTime(r.Now())
	// The name is the same if the step is repeated after a crash.
	sum := sha256.Sum256(fmt.Append(nil, s.object.UID, occasion))
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: s.ref.Name + "." + hex.EncodeToString(sum[:8])},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: s.ref.Name, UID: s.node.UID},
		Reason:         what.reason, Message: what.message, Type: what.kind,
		Source:              corev1.EventSource{Component: source},
		ReportingController: source, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	if err := s.tenant.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
		log.FromContext(ctx).Info("an event on a node could not be written", "node", s.ref.Name, "reason", what.reason, "error", err.Error())
	}
}
