package volume

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

func keepClaim(object *corev1.PersistentVolumeClaim) (claim, bool) {
	out := claim{
		namespace: object.Namespace, name: object.Name, uid: object.UID,
		provisioner:  object.Annotations[annotationProvisioner],
		selectedNode: object.Annotations[annotationSelectedNode],
		bound:        object.Spec.VolumeName != "",
		deleting:     object.DeletionTimestamp != nil,
	}
	if object.Spec.StorageClassName != nil {
		out.class = *object.Spec.StorageClassName
	}
	return out, true
}

func equalClaims(a, b claim) bool { return a == b }

func keepVolume(object *corev1.PersistentVolume) (volume, bool) {
	out := volume{
		name:     object.Name,
		node:     nodeOf(object),
		owned:    object.Annotations[annotationProvisionedBy] == Provisioner,
		phase:    object.Status.Phase,
		reclaim:  object.Spec.PersistentVolumeReclaimPolicy,
		deleting: object.DeletionTimestamp != nil,
		guarded:  slices.Contains(object.Finalizers, finalizer),
	}
	if object.Spec.Local != nil {
		out.path = object.Spec.Local.Path
	}
	return out, true
}

func equalVolumes(a, b volume) bool { return a == b }

// nodeOf reads the one node that a volume of ours is bound to; empty for any other shape of affinity.
func nodeOf(object *corev1.PersistentVolume) string {
	affinity := object.Spec.NodeAffinity
	if affinity == nil || affinity.Required == nil || len(affinity.Required.NodeSelectorTerms) != 1 {
		return ""
	}
	terms := affinity.Required.NodeSelectorTerms[0]
	if len(terms.MatchExpressions) != 1 || len(terms.MatchFields) != 0 {
		return ""
	}
	expression := terms.MatchExpressions[0]
	if expression.Key != corev1.LabelHostname || expression.Operator != corev1.NodeSelectorOpIn || len(expression.Values) != 1 {
		return ""
	}
	return expression.Values[0]
}
